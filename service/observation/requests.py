"""Middleware that gives every request an id, a log line and a duration in the metrics.

The id is the caller's ``X-Request-ID``, or a new one. The response has the id and the version of
the service. An unhandled exception is answered with problem details that have the id too; the log
has the traceback.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from http import HTTPMethod
from importlib.metadata import version

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observation.logs import current_request
from service.observation.metrics import Metrics
from service.problems import problem_response
from service.route_template import route_template

__all__ = ["RequestObserver"]

_log = logging.getLogger(__name__)

_HEADER = "X-Request-ID"
_VERSION_HEADER = "Sasam-Version"
_VERSION = version("sasam")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID_BYTES = 8
_OTHER_METHOD = "other"
"""Label of unknown methods: the number of label values must not depend on callers."""
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/static"})
_CLIENT_CLOSED_REQUEST = 499
_INTERNAL_ERROR = 500


class RequestObserver:
    """ASGI middleware that identifies, measures and logs requests.

    Args:
        app: The application that handles the requests.
        metrics: The metrics that get the durations.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_HEADER, "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(_ID_BYTES)
        scope.setdefault("state", {})["request_id"] = request_id
        current_request.set(request_id)  # each request has its own context
        started = time.perf_counter()
        status: int | None = None
        seconds = 0.0

        async def send_observed(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - started
                headers = MutableHeaders(scope=message)
                headers[_HEADER] = request_id
                headers[_VERSION_HEADER] = _VERSION
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except ClientDisconnect:
            pass
        except Exception:
            if status is None:
                detail = "the service failed on this request; its log has the reason"
                answer = problem_response(
                    _INTERNAL_ERROR,
                    "internal-error",
                    "Internal error",
                    detail,
                    request_id=request_id,
                )
                await answer(scope, receive, send_observed)
            raise  # the server logs the traceback
        finally:
            self._record(
                scope, status or _CLIENT_CLOSED_REQUEST, seconds or time.perf_counter() - started
            )

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Write the log line and count the duration."""
        method = scope["method"] if scope["method"] in HTTPMethod.__members__ else _OTHER_METHOD
        route = route_template(scope)
        self._metrics.observe_request(method, route, status, seconds)
        level = logging.DEBUG if route in _QUIET and status < _INTERNAL_ERROR else logging.INFO
        path = (
            scope.get("raw_path", b"").decode("latin-1") or route
        )  # percent-encoded: always one line
        principal = scope["state"].get("principal")
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "actor": principal.name if principal else None,
            "sweep_id": scope.get("path_params", {}).get("sweep_id"),
        }
        text = "%s %s %d %.0f ms"
        _log.log(level, text, method, path, status, seconds * 1000, extra={"fields": fields})
