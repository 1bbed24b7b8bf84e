"""All pages, and where their static files lie."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from service.ui import (
    compare_page,
    docs,
    login,
    new_sweep,
    search_figure,
    sweep_list,
    sweep_page,
    trial_pages,
)

__all__ = ["STATIC", "router"]

STATIC = Path(__file__).parent / "static"
"""To be mounted at ``/static``."""

router = APIRouter(include_in_schema=False)
for _pages in (
    login,
    sweep_list,
    new_sweep,
    compare_page,
    sweep_page,
    search_figure,
    trial_pages,
    docs,
):
    router.include_router(_pages.router)
