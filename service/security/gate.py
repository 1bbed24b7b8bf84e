"""The gate: middleware that checks every request before it reaches a route.

    host name known -> body small enough -> authenticated -> within rate limit -> role suffices

Refused requests are answered here. Accepted requests have their ``Principal`` in
``request.state.principal``. The response to a command is recorded before it is sent.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import (
    InvalidProblem,
    Problem,
    TooLargeProblem,
    UnavailableProblem,
    problem_response,
)
from service.route_template import route_template
from service.security.access import LOCAL, Principal, required_role
from service.security.allowed_hosts import require_known_host
from service.security.audit import AuditLog
from service.security.authentication import Authentication
from service.security.errors import (
    ForbiddenProblem,
    TooManyRequestsProblem,
    UnauthenticatedProblem,
)
from service.security.locality import require_local
from service.security.rate_limit import RateLimit
from service.security.sessions import COOKIE
from service.settings import Settings
from service.storage import DATABASE_UNAVAILABLE
from service.unavailable import full_message, public_message

__all__ = ["Gate", "RenderError"]

log = logging.getLogger(__name__)

RenderError = Callable[[int, str, str], Response]
"""Renders status, title and detail of an error as a page."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PROGRAM_PREFIXES = ("/api/", "/auth", "/metrics", "/openapi.json")
_NOT_RECORDED = frozenset({"/login", "/logout", "/new/check"})
_SUBMISSION = "/api/v1/sweeps"
_MAX_DIGITS = 20
"""Digits read of ``Content-Length``: more than any limit has, fewer than ``int`` refuses."""
_TRUE = frozenset({"1", "true", "on", "yes", "t", "y"})
_SWEEP = re.compile(r"/sweeps/([0-9a-f]{1,16})(?:/|$)")


class Gate:
    """ASGI middleware that passes accepted requests on and answers refused ones.

    Args:
        app: The application behind the gate.
        authentication: Identifies callers.
        audit: The audit log.
        settings: Limits and allowed hosts.
        render_error: Renders an error as a page for browsers.
    """

    def __init__(
        self,
        app: ASGIApp,
        authentication: Authentication,
        audit: AuditLog,
        settings: Settings,
        render_error: RenderError,
    ) -> None:
        self._app = app
        self._render_error = render_error
        self._authentication = authentication
        self._audit = audit
        self._settings = settings
        self._limit = RateLimit(settings.requests_per_second, settings.request_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; web sockets are refused."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope)
        principal: Principal | None = None
        try:
            principal = await self._identify(request)
            self._admit(request, principal)
        except (Problem, *DATABASE_UNAVAILABLE) as error:
            problem = error if isinstance(error, Problem) else _unavailable(error)
            answer = _refusal(request, problem, self._render_error)
            if principal is not None and _is_command(request):
                await self._record(request, principal, answer.status_code, answer.headers)
            await answer(scope, receive, send)
            return
        request.state.principal = principal
        if principal is not None and _is_command(request):
            send = self._recording(request, principal, send)
        await self._app(scope, receive, send)

    async def _identify(self, request: Request) -> Principal | None:
        """Return the caller; None if unauthenticated or if the path needs no token.

        Raises:
            MisdirectedProblem: ``Host`` is not a name of this service.
            TooLargeProblem: The announced body exceeds the limit.
            InvalidProblem: The query is not ASCII or has a zero byte.
            ForbiddenProblem: No token is required, and the request came from another machine.
        """
        server = request.scope.get("server")
        listening = server[0] if server else None
        require_known_host(request.headers.get("host"), listening, self._settings.allowed_hosts)
        _require_small(request, self._settings.max_body_bytes)
        _require_text(request)
        if required_role(request.method, _path(request)) is None:
            return None
        caller = await run_in_threadpool(
            self._authentication.caller,
            request.headers.get("authorization"),
            request.cookies.get(COOKIE),
        )
        if caller is LOCAL:
            require_local(request)
        return caller

    def _admit(self, request: Request, principal: Principal | None) -> None:
        """Check the caller's rate limit and role.

        Raises:
            TooManyRequestsProblem: The caller exceeds the rate limit.
            UnauthenticatedProblem: The caller is not authenticated.
            ForbiddenProblem: The role of the caller does not suffice.
        """
        if principal is not LOCAL:
            caller = principal.name if principal else ("address", _address(request))
            if wait_seconds := self._limit.take(caller):
                raise TooManyRequestsProblem(
                    f"more than {self._settings.requests_per_second:g} requests per second; "
                    f"try again in {math.ceil(wait_seconds)} s",
                    code="too-many-requests",
                    retry_after_seconds=math.ceil(wait_seconds),
                )
        needed = required_role(request.method, _path(request))
        if needed is None:
            return
        if principal is None:
            shown = "authorization" in request.headers or COOKIE in request.cookies
            raise UnauthenticatedProblem(
                "the token or session is invalid, revoked or expired"
                if shown
                else "this needs a token: send `Authorization: Bearer TOKEN`, or log in at /login",
                code="not-authenticated",
            )
        if not principal.role.includes(needed):
            raise ForbiddenProblem(
                f"the token {principal.name!r} has the role {principal.role}; this needs {needed}",
                code="role-too-low",
                role=principal.role,
                needed=needed,
            )

    def _recording(self, request: Request, principal: Principal, send: Send) -> Send:
        """Return a ``send`` that records the command and its status before the response starts."""

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                await self._record(request, principal, message["status"], headers)
            await send(message)

        return send_recorded

    async def _record(
        self, request: Request, principal: Principal, status: int, answered: Headers
    ) -> None:
        """Add a command to the audit log."""
        was_routed = "endpoint" in request.scope
        target = route_template(request.scope) if was_routed else _escaped_path(request)
        sweep = _SWEEP.search(_path(request)) or _SWEEP.search(answered.get("location", ""))
        await run_in_threadpool(
            self._audit.record,
            actor=principal.name,
            address=_address(request),
            command=f"{request.method} {target}",
            sweep_id=sweep[1] if sweep else None,
            status=status,
            request_id=getattr(request.state, "request_id", ""),
        )


def _wants_page(request: Request) -> bool:
    """Whether the caller is a browser that shows the response as a page."""
    is_page = not _path(request).startswith(_PROGRAM_PREFIXES)
    return is_page and "text/html" in request.headers.get("accept", "")


def _refusal(request: Request, problem: Problem, render_error: RenderError) -> Response:
    """The response to a refused request: problem details, a page, or a redirect to the login."""
    answer: Response
    is_part = "hx-request" in request.headers  # a login form must not replace a part of a page
    if isinstance(problem, UnauthenticatedProblem) and _wants_page(request) and not is_part:
        query = _query(request)
        target = _path(request) + (f"?{query}" if query else "")
        returns = request.method in _SAFE_METHODS and target != "/"
        query = f"?next={quote(target, safe='')}" if returns else ""
        return RedirectResponse(f"/login{query}", 303)
    if _wants_page(request):
        answer = render_error(problem.status, problem.title, problem.detail)
    else:
        answer = problem_response(
            problem.status, problem.code, problem.title, problem.detail, **problem.extra
        )
    if isinstance(problem, UnauthenticatedProblem):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="sasam"'
        if is_part:
            answer.headers["HX-Redirect"] = "/login"
    if isinstance(problem, TooManyRequestsProblem):
        answer.headers["Retry-After"] = str(problem.extra["retry_after_seconds"])
    if isinstance(problem, TooLargeProblem):
        answer.headers["Connection"] = "close"  # the body is still being sent
    return answer


def _unavailable(error: Exception) -> Problem:
    """Refuse every caller while the database with the tokens does not answer."""
    log.warning("no caller can be identified: %s", full_message(error))
    return UnavailableProblem(public_message(error), code="unavailable")


def _is_command(request: Request) -> bool:
    """Whether a request changes state; a dry run does not."""
    path = _path(request)
    if request.method in _SAFE_METHODS or path in _NOT_RECORDED:
        return False
    has_dry_run = path == _SUBMISSION or path.endswith("/extend")
    return not (has_dry_run and request.query_params.get("dry_run", "").lower() in _TRUE)


def _require_small(request: Request, limit: int) -> None:
    """Refuse an announced body that is too large; handlers count the bytes that arrive.

    Raises:
        TooLargeProblem: ``Content-Length`` exceeds the limit.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:_MAX_DIGITS]) > limit:
        raise TooLargeProblem(
            f"the body has {announced[:_MAX_DIGITS]} bytes; at most {limit} are allowed",
            code="body-too-large",
            limit_bytes=limit,
        )


def _require_text(request: Request) -> None:
    """Refuse a query with bytes that are not ASCII, or with zero bytes.

    Clients must escape bytes that are not ASCII; Starlette fails on some that are not escaped.
    PostgreSQL does not accept zero bytes.

    Raises:
        InvalidProblem: The query has such bytes.
    """
    query = request.scope["query_string"]
    if not query.isascii():
        shown = ascii(query[:80].decode("latin-1"))
        raise InvalidProblem(
            f"the query {shown} has bytes that are not ASCII; escape them as %XX", code="not-ascii"
        )
    if b"%00" in query:
        items = request.query_params.multi_items()
        names = ", ".join(name[:40] for name, value in items if "\0" in name + value)
        raise InvalidProblem(f"the query has a zero byte (%00) in {names}", code="zero-byte")


def _path(request: Request) -> str:
    """The path that routing uses; ``request.url``, which is parsed again, could have another."""
    path: str = request.scope["path"]
    return path


def _escaped_path(request: Request) -> str:
    """The percent-encoded path as it was sent, which is printable."""
    raw: bytes = request.scope.get("raw_path") or b""
    return raw.decode("latin-1") or quote(_path(request))


def _query(request: Request) -> str:
    """The query as it was sent."""
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _address(request: Request) -> str:
    """The address of the caller; ``-`` if unknown."""
    return request.client.host if request.client else "-"
