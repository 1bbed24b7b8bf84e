"""The first page: all sweeps."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from service.api.dependencies import database, sweep_service
from service.states import SweepState
from service.storage import Database
from service.sweeps.service import SweepService
from service.trials.repository import TrialRepository
from service.ui.paging import Paging
from service.ui.permissions import Caller
from service.ui.rendering import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_PAGE_SIZE = 25


@router.get("/")
def show_sweeps(
    stored: Annotated[Database, Depends(database)],
    sweeps: Annotated[SweepService, Depends(sweep_service)],
    caller: Caller,
    state: Annotated[SweepState | str, Query(max_length=16)] = "",
    q: Annotated[str, Query(max_length=64)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Sweeps, newest first; the live part of the page is this page again."""
    states = [SweepState(state)] if state in set(SweepState) else []
    found, total = sweeps.search(
        states=states, text=q.strip(), offset=(page - 1) * _PAGE_SIZE, limit=_PAGE_SIZE
    )
    with stored.snapshot() as session:
        best = TrialRepository(session).best_accuracies([sweep.sweep_id for sweep in found])
    asked = {"state": state, "q": q}
    query = urlencode({name: value for name, value in asked.items() if value})
    return render_page(
        "sweeps.html",
        sweeps=found,
        best=best,
        caller=caller,
        states=list(SweepState),
        state=state,
        q=q,
        query=query,
        paging=Paging(page, _PAGE_SIZE, total),
    )
