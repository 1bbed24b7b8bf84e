"""Retry policy of requests, the same for both transports.

    response lost, or 429, 502, 503, 504, of a repeatable request -> retry, with exponential backoff
    connection refused                                            -> retry: no request was received
    connection refused before the service ever answered           -> error: no service is there

A request is repeatable when its method is (GET, DELETE, PATCH) or it has an ``Idempotency-Key``.
"""

from __future__ import annotations

import re
import time

import httpx

from service.client.errors import ProblemError, UnreachableError

__all__ = ["RequestAttempts", "RetryPolicy"]

_REPEATABLE_METHODS = frozenset({"GET", "DELETE", "PATCH"})
_TRANSIENT_STATUS = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.2
_MAX_PAUSE_SECONDS = 5.0


class RetryPolicy:
    """Decides which failed requests to one service are retried, and when.

    Args:
        base_url: Address of the service, for messages.
        retry_seconds: Longest time a request is retried.
    """

    def __init__(self, base_url: str, retry_seconds: float) -> None:
        self.base_url = base_url
        self.retry_seconds = retry_seconds
        self.has_answered = False

    def attempts(self, request: httpx.Request) -> RequestAttempts:
        """The attempts at one request, none of them made yet."""
        return RequestAttempts(self, request)


class RequestAttempts:
    """The attempts at one request; the caller reports the outcome of each.

    Args:
        policy: The policy for the service.
        request: The request; the caller sends it.
    """

    def __init__(self, policy: RetryPolicy, request: httpx.Request) -> None:
        self._policy = policy
        self._method = request.method
        self._is_repeatable = (
            request.method in _REPEATABLE_METHODS or "Idempotency-Key" in request.headers
        )
        self._deadline = time.monotonic() + policy.retry_seconds
        self._backoff_seconds = _FIRST_PAUSE_SECONDS
        self._is_first = True

    def after_response(self, response: httpx.Response) -> float | None:
        """Seconds to wait before the next attempt; None if the response is final.

        Args:
            response: The response; unless it is a success, its body must have been read.

        Raises:
            ProblemError: The service refused the request.
        """
        self._policy.has_answered = True
        if response.is_success:
            return None
        if self._method == "DELETE" and response.status_code == 404 and not self._is_first:
            return None  # an earlier attempt deleted it, and its response was lost
        is_transient = response.status_code in _TRANSIENT_STATUS and self._is_repeatable
        if not is_transient or self._is_too_late:
            raise ProblemError.of(response)
        return self._next_pause_seconds(at_least=_retry_after_seconds(response))

    def after_error(self, error: httpx.TransportError) -> float:
        """Seconds to wait before the next attempt after one without a response.

        Raises:
            UnreachableError: No service answers, or not within the time for retries.
        """
        is_unsupported = isinstance(error, httpx.UnsupportedProtocol)
        was_refused = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        has_no_service = was_refused and not self._policy.has_answered
        may_retry = self._is_repeatable or was_refused
        if is_unsupported or has_no_service or not may_retry or self._is_too_late:
            raise _unreachable(self._policy.base_url, error) from error
        return self._next_pause_seconds()

    @property
    def _is_too_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _next_pause_seconds(self, at_least: float = 0.0) -> float:
        """The pause of the exponential backoff, not beyond the deadline."""
        pause_seconds = max(self._backoff_seconds, at_least)
        self._backoff_seconds = min(2 * pause_seconds, _MAX_PAUSE_SECONDS)
        self._is_first = False
        return min(pause_seconds, max(0.0, self._deadline - time.monotonic()))


def _unreachable(base_url: str, error: httpx.TransportError) -> UnreachableError:
    """The error that names the address and why no service answers there."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return UnreachableError.invalid_address(base_url)
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    return UnreachableError(f"no service answers at {base_url} ({reason.lower()})")


def _retry_after_seconds(response: httpx.Response) -> float:
    """The seconds of ``Retry-After``, at most the longest pause; 0 if absent or not a number."""
    try:
        return min(float(response.headers["Retry-After"]), _MAX_PAUSE_SECONDS)
    except (KeyError, ValueError):
        return 0.0
