"""What can go wrong when the service is asked.

ClientError
├── UnreachableError   nothing answers at the address, or no longer
├── UnreadableError    the answer is not what this version expects
├── ProblemError       the service refused, and says why
├── TokenFileError     the token to show cannot be read
├── WaitTimeoutError   the sweep has not ended in the time given
└── MissingPackageError
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

__all__ = [
    "ClientError",
    "FieldProblem",
    "MissingPackageError",
    "ProblemError",
    "TokenFileError",
    "UnreachableError",
    "UnreadableError",
    "VersionWarning",
    "WaitTimeoutError",
]


class ClientError(Exception):
    """The service could not be asked, or refused."""


class UnreachableError(ClientError):
    """Nothing answers at the service's address."""

    @classmethod
    def no_address(cls, base_url: str) -> UnreachableError:
        """The address is none."""
        return cls(f"{base_url!r} is no address of a service; one looks like http://host:8420")


class UnreadableError(ClientError):
    """The service answered what this version of the client cannot read."""


class TokenFileError(ClientError):
    """The file with the token is missing, cannot be read, or holds none."""


class WaitTimeoutError(ClientError):
    """A sweep has not ended in the time given."""


class MissingPackageError(ClientError):
    """An optional package is not installed."""


class VersionWarning(UserWarning):
    """Client and service are of different versions."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with a request.

    Attributes:
        path: Where, such as ``search.learning_rate[2]``; empty for the whole.
        message: What is wrong and what is allowed.
        value: What was there, shortened.
    """

    path: str
    message: str
    value: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path or 'specification'}: {self.message} (got {self.value})"


class ProblemError(ClientError):
    """The service's refusal (RFC 9457 problem details).

    Attributes:
        status: HTTP status.
        code: Stable name of the problem, such as ``unknown-sweep``.
        detail: What was wrong, the value got, what is allowed.
        errors: Each thing wrong with the request, by its place.
        extra: Further members of the answer, such as ``allowed``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldProblem, ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.extra = extra or {}

    @classmethod
    def of(cls, response: httpx.Response) -> ProblemError:
        """The problem that an answer describes; one that is no problem details is named too."""
        try:
            body = response.json()
            known = {name: body.pop(name, None) for name in ("type", "title", "status")}
            detail = str(body.pop("detail"))
            errors = tuple(FieldProblem(**error) for error in body.pop("errors", None) or ())
        except (ValueError, KeyError, TypeError, AttributeError):
            phrase = f"{response.status_code} {response.reason_phrase}"
            detail = (
                f"{response.request.url} answered {phrase}, and not as sasam does: is it sasam's?"
            )
            return cls(response.status_code, f"http-{response.status_code}", detail)
        code = str(known["type"]).removeprefix("urn:sasam:")
        return cls(response.status_code, code, detail, errors, body)
