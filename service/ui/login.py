"""The page that logs in with a token, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from service.api.dependencies import services
from service.security.access import LOCAL, Principal
from service.security.authentication import Authentication
from service.security.csrf import require_same_origin
from service.security.locality import require_local
from service.security.sessions import COOKIE
from service.ui.new_sweep import read_form
from service.ui.rendering import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LONGEST_TARGET = 2000


def _authentication(request: Request) -> Authentication:
    return services(request).authentication


Known = Annotated[Authentication, Depends(_authentication)]
Form = Annotated[dict[str, str], Depends(read_form)]


@router.get("/login")
def show_login(request: Request, known: Known, next: str = "/") -> Response:  # noqa: A002
    """The login form, or as whom the caller is logged in.

    Raises:
        ForbiddenProblem: No token is required, and the request came from another machine.
    """
    principal: Principal | None = LOCAL
    if known.is_required():
        principal = known.identify(None, request.cookies.get(COOKIE))
    else:
        require_local(request)
    return _page(_target(next), principal=principal)


@router.post("/login", dependencies=[Depends(require_same_origin)])
async def log_in(request: Request, known: Known, form: Form) -> Response:
    """Open a session for a token."""
    target = _target(form.get("next", "/"))
    token = form.get("token", "").strip()
    principal = await run_in_threadpool(known.tokens.identify, token)
    if principal is None:
        return _page(target, status_code=status.HTTP_401_UNAUTHORIZED, is_wrong=True)
    cookie = await run_in_threadpool(known.sessions.open, principal)
    answer = RedirectResponse(target, status.HTTP_303_SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=int(known.sessions.lifetime.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.scope["scheme"] == "https",
    )
    return answer


@router.post("/logout", dependencies=[Depends(require_same_origin)])
def log_out(request: Request, known: Known) -> Response:
    """End the session."""
    known.sessions.close(request.cookies.get(COOKIE, ""))
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


def _target(wanted: str) -> str:
    """A path of this service, whatever was asked for: nobody is sent to another site."""
    is_ours = wanted.startswith("/") and wanted[1:2] not in {"/", "\\"}
    is_plain = wanted.isprintable() and len(wanted) <= _LONGEST_TARGET
    return wanted if is_ours and is_plain and not wanted.startswith("/login") else "/"
