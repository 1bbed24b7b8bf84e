"""Router of all pages, and the folder of their static files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from service.ui import (
    api_docs_page,
    compare_page,
    curves_page,
    login_page,
    new_sweep_page,
    sweep_list_page,
    sweep_page,
    trial_list_page,
    trial_page,
)

__all__ = ["STATIC", "router"]

STATIC = Path(__file__).parent / "static"
"""Folder to mount at ``/static``."""

router = APIRouter(include_in_schema=False)
for _page in (
    login_page,
    sweep_list_page,
    new_sweep_page,
    compare_page,
    curves_page,
    sweep_page,
    trial_list_page,
    trial_page,
    api_docs_page,
):
    router.include_router(_page.router)
