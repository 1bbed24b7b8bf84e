"""How long to go on asking: one policy for both transports.

    lost answer, 429, 502, 503, 504 of a repeatable request -> again, after a pause that doubles
    refused connection of any request                       -> again: it was never received
    refused connection of the first request                 -> an error at once: nobody is there

A request is repeatable when its method is (GET, DELETE) or it carries an ``Idempotency-Key``.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Generator
from importlib.metadata import version
from typing import TypeVar

import httpx

from service.client.calls import Call
from service.client.errors import (
    ProblemError,
    UnreachableError,
    UnreadableError,
    VersionWarning,
)

__all__ = ["Attempt", "Exchanges"]

T = TypeVar("T")

_VERSION_HEADER = "Sasam-Version"

_REPEATABLE_METHODS = frozenset({"GET", "DELETE"})
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

Attempt = Generator[float, httpx.Response | httpx.TransportError, httpx.Response]
"""Yields the pause before each attempt, takes what came of it, returns the answer."""


class Exchanges:
    """The requests to one service.

    Args:
        base_url: Its address, for messages.
        patience_seconds: How long a request is repeated.
    """

    def __init__(self, base_url: str, patience_seconds: float) -> None:
        self.base_url = base_url
        self._patience_seconds = patience_seconds
        self._has_answered = False
        self._known_version: str | None = None

    def attempts(self, request: httpx.Request) -> Attempt:
        """Attempts at one request; the caller sends it after each pause.

        Raises:
            UnreachableError: Nothing answers, or no longer within the patience.
            ProblemError: The service refused; the body of its answer must have been read.
        """
        repeatable = request.method in _REPEATABLE_METHODS or "Idempotency-Key" in request.headers
        deadline = time.monotonic() + self._patience_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        result = yield 0.0
        is_repeated = False
        while True:
            if isinstance(result, httpx.TransportError):
                never_received = isinstance(result, httpx.ConnectError | httpx.ConnectTimeout)
                is_hopeless = isinstance(result, httpx.UnsupportedProtocol) or (
                    never_received and not self._has_answered
                )
                if is_hopeless or not (repeatable or never_received) or _is_past(deadline):
                    raise self.unreachable(result) from result
            else:
                self._has_answered = True
                self._compare_versions(result)
                if result.is_success:
                    return result
                if is_repeated and request.method == "DELETE" and result.status_code == 404:
                    return result  # the lost answer was that it is gone
                is_passing = result.status_code in _PASSING_STATUS and repeatable
                if not is_passing or _is_past(deadline):
                    raise ProblemError.of(result)
                pause_seconds = max(pause_seconds, _asked_pause_seconds(result))
            result = yield min(pause_seconds, max(0.0, deadline - time.monotonic()))
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            is_repeated = True

    def read(self, call: Call[T], response: httpx.Response) -> T:
        """The answer that a response holds.

        Raises:
            UnreadableError: It is not what this version of the client expects.
        """
        try:
            return call.read(response.content)
        except ValueError as error:  # pydantic's errors are among them
            theirs = self._known_version or "another version"
            raise UnreadableError(
                f"{response.request.url} answered what this client cannot read; the service is "
                f"sasam {theirs}, the client {version('sasam')}: install the same version"
            ) from error

    def unreachable(self, error: httpx.TransportError) -> UnreachableError:
        """Names the address and why nothing answers there."""
        if isinstance(error, httpx.UnsupportedProtocol):
            return UnreachableError.no_address(self.base_url)
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        return UnreachableError(f"no service answers at {self.base_url} ({reason.lower()})")

    def _compare_versions(self, response: httpx.Response) -> None:
        """Warn once when the service is of another version than this client."""
        theirs = response.headers.get(_VERSION_HEADER)
        if theirs is None or theirs == self._known_version:
            return
        self._known_version = theirs
        ours = version("sasam")
        if theirs.split(".")[:2] != ours.split(".")[:2]:
            message = (
                f"the service at {self.base_url} is sasam {theirs}, this client {ours}: "
                f"install the same version (pip install 'sasam=={theirs}')"
            )
            warnings.warn(message, VersionWarning, stacklevel=2)


def _is_past(deadline: float) -> bool:
    return time.monotonic() >= deadline


def _asked_pause_seconds(response: httpx.Response) -> float:
    """The seconds of ``Retry-After``; 0 without one."""
    try:
        return min(float(response.headers["Retry-After"]), _LONGEST_PAUSE_SECONDS)
    except (KeyError, ValueError):
        return 0.0
