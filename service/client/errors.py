"""Errors of the client.

ClientError
├── UnreachableError      no service answers at the address, or it stopped answering
├── UnreadableError       the client, of another version, cannot read the response
├── ProblemError          the service refused the request and gives the reason
├── TokenFileError        the token cannot be read
├── WaitTimeoutError      the sweep has not ended within the timeout
└── MissingPackageError   an optional package is not installed
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
    """A request to the service failed."""


class UnreachableError(ClientError):
    """No service answers at the address."""

    @classmethod
    def invalid_address(cls, base_url: str) -> UnreachableError:
        """The error of an address that is not an HTTP URL."""
        return cls(
            f"{base_url!r} is not the address of a service; an address looks like http://host:8420"
        )


class UnreadableError(ClientError):
    """This version of the client cannot read the response of the service."""


class TokenFileError(ClientError):
    """The token file is missing, unreadable or empty, or the token is invalid."""


class WaitTimeoutError(ClientError):
    """The sweep has not ended within the timeout."""


class MissingPackageError(ClientError):
    """An optional package is not installed."""


class VersionWarning(UserWarning):
    """Client and service have different versions."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One invalid value in a request.

    Attributes:
        path: Path of the value, such as ``search.learning_rate[2]``; empty for the whole request.
        message: Why it is invalid and what is allowed.
        value: The value, shortened.
    """

    path: str
    message: str
    value: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path or 'specification'}: {self.message} (got {self.value})"


class ProblemError(ClientError):
    """The service refused a request (RFC 9457 problem details).

    Attributes:
        status: HTTP status.
        code: Stable name of the problem, such as ``unknown-sweep``.
        detail: What was wrong, the value got, and what is allowed.
        errors: Each invalid value in the request.
        extra: Further members of the problem details, such as ``allowed``.
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
        """The error of a response; one without problem details is not from sasam, which it says."""
        try:
            body = response.json()
            known = {name: body.pop(name, None) for name in ("type", "title", "status")}
            detail = str(body.pop("detail"))
            errors = tuple(FieldProblem(**error) for error in body.pop("errors", None) or ())
        except (ValueError, KeyError, TypeError, AttributeError):
            phrase = f"{response.status_code} {response.reason_phrase}"
            detail = (
                f"{response.request.url} answered {phrase} without problem details: "
                "is it a sasam service?"
            )
            return cls(response.status_code, f"http-{response.status_code}", detail)
        code = str(known["type"]).removeprefix("urn:sasam:")
        return cls(response.status_code, code, detail, errors, body)
