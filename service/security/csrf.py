"""CSRF protection without state: refuses state-changing requests from other sites.

Browsers state the origin of a request in ``Sec-Fetch-Site``, and where that is missing (plain HTTP
to another machine) in ``Origin``. A request with neither header does not come from a browser, so
it has no cookie that another site could misuse.
"""

from __future__ import annotations

from fastapi import Request

from service.problems import Problem

__all__ = ["ForeignOriginProblem", "refuse_foreign_commands", "require_same_origin"]


class ForeignOriginProblem(Problem):
    """A state-changing request came from another site."""

    status = 403
    title = "Sent from another site"


def require_same_origin(request: Request) -> None:
    """Accept a request from a page of this service or from a program.

    Raises:
        ForeignOriginProblem: The request came from a page of another site.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        allowed = site == "same-origin"
    else:
        allowed = origin is None or _authority(origin) == request.headers.get("host")
    if not allowed:
        got = origin or site or ""
        detail = f"the request came from {got[:80]!r}; only pages of this service may send it"
        raise ForeignOriginProblem(detail, code="foreign-origin")


def refuse_foreign_commands(request: Request) -> None:
    """Reject cross-origin requests that change state.

    Raises:
        ForeignOriginProblem: A state-changing request came from a page of another site.
    """
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        require_same_origin(request)


def _authority(origin: str) -> str:
    """Host and port of an origin, which has no path (RFC 6454); empty for ``null``."""
    return origin.partition("://")[2]
