"""Refuses forms and commands that another site sent: stateless protection against request forgery.

A browser says where a request comes from in ``Sec-Fetch-Site``, and where that is missing (plain
http to another machine than this one) in ``Origin``. A request with neither comes from no browser
and carries nobody's authority.
"""

from __future__ import annotations

from fastapi import Request

from service.problems import Problem

__all__ = ["ForeignOriginProblem", "refuse_foreign_commands", "require_same_origin"]


class ForeignOriginProblem(Problem):
    """The form was sent from another site."""

    status = 403
    title = "Sent from another site"


def require_same_origin(request: Request) -> None:
    """Let a form pass that comes from a page of this service.

    Raises:
        ForeignOriginProblem: It comes from elsewhere.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        allowed = site == "same-origin"
    else:
        allowed = origin is None or _authority(origin) == request.headers.get("host")
    if not allowed:
        got = origin or site or ""
        detail = f"this came from {got[:80]!r}; only pages of this service may send it"
        raise ForeignOriginProblem(detail, code="foreign-origin")


def refuse_foreign_commands(request: Request) -> None:
    """Let another site's page read where the browser lets it, but change nothing.

    Raises:
        ForeignOriginProblem: A request that changes something comes from elsewhere.
    """
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        require_same_origin(request)


def _authority(origin: str) -> str:
    """Host and port of an origin, which has nothing behind them (RFC 6454); empty for ``null``."""
    return origin.partition("://")[2]
