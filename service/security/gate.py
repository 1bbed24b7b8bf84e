"""The gate every request passes before it reaches a route.

    host name known -> body small enough -> caller known -> not too often -> role suffices -> route

What is refused is answered here; what is let through carries its ``Principal`` in
``request.state.principal``. The answer to a command is recorded before it is sent.
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
from service.security.locality import is_local
from service.security.rate_limit import RateLimit
from service.security.sessions import COOKIE
from service.settings import Settings
from service.storage import DATABASE_UNAVAILABLE
from service.unavailable import full_message, public_message

__all__ = ["Gate", "RenderError"]

log = logging.getLogger(__name__)

RenderError = Callable[[int, str, str], Response]
"""Renders status, title and detail of an error as a page."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PROGRAMS = ("/api/", "/auth", "/metrics", "/openapi.json")
_NOT_RECORDED = frozenset({"/login", "/logout", "/new/check"})
_SUBMISSION = "/api/v1/sweeps"
_MOST_DIGITS = 20
"""Of an announced length: more than any limit has, and fewer than Python refuses to read."""
_TRUE = frozenset({"1", "true", "on", "yes", "t", "y"})
_SWEEP = re.compile(r"/sweeps/([0-9a-f]{1,16})(?:/|$)")


class Gate:
    """Lets requests pass, or answers them.

    Args:
        app: What lies behind it.
        authentication: Knows callers.
        audit: Where commands are recorded.
        settings: Limits and names.
        render_error: Renders a refusal for browsers.
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
        """Handle a request; there are no web sockets."""
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
        """Who asks; None for nobody we know.

        Raises:
            MisdirectedProblem: The request is for another host.
            TooLargeProblem: It announces a body that nobody will read.
            InvalidProblem: Its query is not ASCII or has a zero byte.
            ForbiddenProblem: No token is needed here, but the request comes from elsewhere.
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
        if caller is LOCAL and not is_local(request):
            raise ForbiddenProblem(
                "without tokens this service answers only requests made on its own machine, not "
                "those that come from elsewhere or through a proxy; its operator creates a token "
                "with `sasam token create`",
                code="no-tokens",
            )
        return caller

    def _admit(self, request: Request, principal: Principal | None) -> None:
        """See that the caller may ask this, and does not ask too often.

        Raises:
            TooManyRequestsProblem: Too often.
            UnauthenticatedProblem: Nobody knows the caller.
            ForbiddenProblem: The role does not suffice.
        """
        if principal is not LOCAL:
            caller = principal.name if principal else ("address", _address(request))
            if wait_seconds := self._limit.take(caller):
                raise TooManyRequestsProblem(
                    f"more than {self._settings.requests_per_second:g} requests a second; "
                    f"ask again in {math.ceil(wait_seconds)} s",
                    code="too-many-requests",
                    retry_after_seconds=math.ceil(wait_seconds),
                )
        needed = required_role(request.method, _path(request))
        if needed is None:
            return
        if principal is None:
            shown = "authorization" in request.headers or COOKIE in request.cookies
            raise UnauthenticatedProblem(
                "the token or session is not valid, or no longer"
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
        """Record what became of a command before its answer is sent."""

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                await self._record(request, principal, message["status"], headers)
            await send(message)

        return send_recorded

    async def _record(
        self, request: Request, principal: Principal, status: int, answered: Headers
    ) -> None:
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
    """Whether a person reads the answer, not a program."""
    is_page = not _path(request).startswith(_PROGRAMS)
    return is_page and "text/html" in request.headers.get("accept", "")


def _refusal(request: Request, problem: Problem, render_error: RenderError) -> Response:
    """The answer to a request that does not pass: problem details, a page, or the way to log in."""
    answer: Response
    is_part = "hx-request" in request.headers  # of a page, which a login form must not replace
    if isinstance(problem, UnauthenticatedProblem) and _wants_page(request) and not is_part:
        query = _query(request)
        target = _path(request) + (f"?{query}" if query else "")
        comes_back = request.method in _READING and target != "/"
        way_back = f"?next={quote(target, safe='')}" if comes_back else ""
        return RedirectResponse(f"/login{way_back}", 303)
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
        answer.headers["Connection"] = "close"  # the body is still on its way
    return answer


def _unavailable(error: Exception) -> Problem:
    """Refuse every caller while the database with the tokens does not answer."""
    log.warning("no caller can be identified: %s", full_message(error))
    return UnavailableProblem(public_message(error), code="unavailable")


def _is_command(request: Request) -> bool:
    """Whether a request changes something; a dry run does not."""
    path = _path(request)
    if request.method in _READING or path in _NOT_RECORDED:
        return False
    return path != _SUBMISSION or request.query_params.get("dry_run", "").lower() not in _TRUE


def _require_small(request: Request, limit: int) -> None:
    """Refuse by what a request announces; whoever reads the body counts what comes."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:_MOST_DIGITS]) > limit:
        raise TooLargeProblem(
            f"the body is larger than {limit} bytes: it has {announced[:20]}",
            code="body-too-large",
            limit_bytes=limit,
        )


def _require_text(request: Request) -> None:
    """Refuse bytes in a query that are not ASCII, and zero bytes, which PostgreSQL does not take.

    A client escapes what is not ASCII; Starlette fails on some of what is not escaped.
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
    """The path that routing goes by; a URL made of it and of ``Host`` could have another one."""
    path: str = request.scope["path"]
    return path


def _escaped_path(request: Request) -> str:
    """The path as it was sent: printable, whatever it means."""
    raw: bytes = request.scope.get("raw_path") or b""
    return raw.decode("latin-1") or quote(_path(request))


def _query(request: Request) -> str:
    """The query as it was sent."""
    query: bytes = request.scope["query_string"]
    return query.decode("latin-1")


def _address(request: Request) -> str:
    return request.client.host if request.client else "-"
