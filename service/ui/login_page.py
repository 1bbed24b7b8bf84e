"""Pages that log in with a token and log out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from service.api.dependencies import services
from service.security.access import LOCAL, Principal
from service.security.authentication import Authentication
from service.security.csrf import require_same_origin
from service.security.locality import require_local
from service.security.sessions import COOKIE
from service.ui.forms import Form
from service.ui.page_responses import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_MAX_TARGET_CHARACTERS = 2000


def _authentication(request: Request) -> Authentication:
    return services(request).authentication


AuthenticationDep = Annotated[Authentication, Depends(_authentication)]


@router.get("/login")
def show_login(
    request: Request,
    authentication: AuthenticationDep,
    target: Annotated[str, Query(alias="next")] = "/",
) -> Response:
    """Show the form, or the name of the token if the caller is logged in.

    Raises:
        ForbiddenProblem: No token is required, and the request came from another machine.
    """
    principal: Principal | None = LOCAL
    if authentication.is_required():
        principal = authentication.identify(None, request.cookies.get(COOKIE))
    else:
        require_local(request)
    return _page(_safe_target(target), principal=principal)


@router.post("/login", dependencies=[Depends(require_same_origin)])
async def log_in(request: Request, authentication: AuthenticationDep, form: Form) -> Response:
    """Open a session for a token and return to the page that required it."""
    target = _safe_target(form.get("next", "/"))
    token = form.get("token", "").strip()
    principal = await run_in_threadpool(authentication.tokens.identify, token)
    if principal is None:
        return _page(target, status_code=status.HTTP_401_UNAUTHORIZED, is_wrong=True)
    cookie = await run_in_threadpool(authentication.sessions.open, principal)
    answer = RedirectResponse(target, status.HTTP_303_SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=int(authentication.sessions.lifetime.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.scope["scheme"] == "https",
    )
    return answer


@router.post("/logout", dependencies=[Depends(require_same_origin)])
def log_out(request: Request, authentication: AuthenticationDep) -> Response:
    """End the session and show the form."""
    authentication.sessions.close(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", status.HTTP_303_SEE_OTHER)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


def _page(
    target: str,
    *,
    status_code: int = 200,
    principal: Principal | None = None,
    is_wrong: bool = False,
) -> Response:
    return render_page(
        "login.html",
        status_code=status_code,
        target=target,
        principal=principal,
        is_local=principal is LOCAL,
        is_wrong=is_wrong,
    )


def _safe_target(path: str) -> str:
    """The path if it leads to another page of this service, else "/"; never to another site."""
    is_local = path.startswith("/") and path[1:2] not in {"/", "\\"}
    is_plain = path.isprintable() and len(path) <= _MAX_TARGET_CHARACTERS
    return path if is_local and is_plain and not path.startswith("/login") else "/"
