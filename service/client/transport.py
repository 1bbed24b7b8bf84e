"""Sends requests, and sends those again that may be sent twice.

    lost answer, 429, 502, 503, 504 of a repeatable request -> again, after a pause that doubles
    refused connection of any request                       -> again: it was never received
    refused connection of the first request                 -> an error at once: nobody is there

A request is repeatable when its method is (GET, DELETE) or it carries an ``Idempotency-Key``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import httpx

from service.client.errors import ProblemError, UnreachableError

__all__ = ["Transport"]

_REPEATABLE_METHODS = frozenset({"GET", "DELETE"})
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


class Transport:
    """One service, over one pool of connections.

    Args:
        base_url: Address of the service.
        timeout_seconds: Longest silence within one request.
        patience_seconds: How long a request is repeated.
        headers: Sent with every request.

    Raises:
        UnreachableError: ``base_url`` is no URL.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        patience_seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._has_answered = False
        try:
            self._http = httpx.Client(
                base_url=self.base_url,
                timeout=timeout_seconds,
                headers=dict(headers),
                follow_redirects=True,
                # A proxy between this machine and itself is a mistake of the environment.
                mounts={f"all://{host}": httpx.HTTPTransport() for host in _THIS_MACHINE},
            )
        except httpx.InvalidURL as error:
            raise _no_address(base_url) from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request.

        Raises:
            UnreachableError: Nothing answers, or no longer within the patience.
            ProblemError: The service refused.
        """
        headers = dict(headers or {})
        given = {name: value for name, value in (params or {}).items() if value is not None}
        request = self._http.build_request(
            method, path, params=given, content=content, headers=headers
        )
        repeatable = method in _REPEATABLE_METHODS or "Idempotency-Key" in headers
        deadline = time.monotonic() + self._patience_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        is_repeated = False
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                never_received = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                is_hopeless = isinstance(error, httpx.UnsupportedProtocol) or (
                    never_received and not self._has_answered
                )
                if is_hopeless or not (repeatable or never_received) or _is_past(deadline):
                    raise self._unreachable(error) from error
            else:
                self._has_answered = True
                if response.is_success:
                    return response
                if is_repeated and method == "DELETE" and response.status_code == 404:
                    return response  # the lost answer was that it is gone
                is_passing = response.status_code in _PASSING_STATUS and repeatable
                if not is_passing or _is_past(deadline):
                    raise ProblemError.of(response)
                pause_seconds = max(pause_seconds, _asked_pause_seconds(response))
            time.sleep(min(pause_seconds, max(0.0, deadline - time.monotonic())))
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            is_repeated = True

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        if isinstance(error, httpx.UnsupportedProtocol):
            return _no_address(self.base_url)
        reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        return UnreachableError(f"no service answers at {self.base_url} ({reason.lower()})")


def _no_address(base_url: str) -> UnreachableError:
    return UnreachableError(
        f"{base_url!r} is no address of a service; one looks like http://host:8420"
    )


def _is_past(deadline: float) -> bool:
    return time.monotonic() >= deadline


def _asked_pause_seconds(response: httpx.Response) -> float:
    """The seconds of ``Retry-After``; 0 without one."""
    try:
        return min(float(response.headers["Retry-After"]), _LONGEST_PAUSE_SECONDS)
    except (KeyError, ValueError):
        return 0.0
