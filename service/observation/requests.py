"""Observes every request: an id, a log line, how long it took.

The id is the caller's ``X-Request-ID``, or a new one; the answer carries it, and the version of
the service. A request that fails by a defect is answered with a problem that carries the id too,
and the log has the traceback.
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

from service.errors import problem_response
from service.observation.logs import current_request
from service.observation.metrics import Metrics
from service.observation.routes import route_template

__all__ = ["RequestObserver"]

_log = logging.getLogger(__name__)

_HEADER = "X-Request-ID"
_VERSION_HEADER = "Sasam-Version"
_VERSION = version("sasam")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID_BYTES = 8
_INVENTED = "other"
"""In place of a method that a caller made up: a label of metrics takes a few values."""
_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/static"})
_CLIENT_IS_GONE = 499
_DEFECT = 500


class RequestObserver:
    """Names, measures and logs what passes through it.

    Args:
        app: What answers.
        metrics: Where durations are counted.
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
        current_request.set(request_id)  # a request has a context of its own, which ends with it
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
                detail = "the service failed on this request; its log says why"
                answer = problem_response(
                    _DEFECT, "internal-error", "Internal error", detail, request_id=request_id
                )
                await answer(scope, receive, send_observed)
            raise  # the server writes the traceback
        finally:
            self._tell(scope, status or _CLIENT_IS_GONE, seconds or time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in HTTPMethod.__members__ else _INVENTED
        route = route_template(scope)
        self._metrics.observe_request(method, route, status, seconds)
        level = logging.DEBUG if route in _QUIET and status < _DEFECT else logging.INFO
        path = scope.get("raw_path", b"").decode("latin-1") or route  # escaped: one line, always
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
