"""The page of the API's document: Swagger UI, served by this service alone."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.ui.rendering import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)


@router.get("/docs")
def show_docs() -> Response:
    """Every operation, to read and to try."""
    return render_page("docs.html")
