"""Page with the interactive API reference (Swagger UI), from this service's own files."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.ui.page_responses import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)


@router.get("/docs")
def show_api_docs() -> Response:
    """All operations of the API, to read and to try."""
    return render_page("api_docs.html")
