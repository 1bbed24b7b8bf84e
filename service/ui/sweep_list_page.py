"""Page with the list of all sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.states import SweepState
from service.sweeps.schemas import SweepView
from service.trials.repository import BestScore, TrialRepository
from service.ui.dependencies import Caller, DatabaseDep, SweepsDep
from service.ui.links import query_string
from service.ui.page_responses import PageRoute, render_page
from service.ui.paging import Paging
from workers.scores import SCORES, ScoreName

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_PAGE_SIZE = 25


@router.get("/")
def show_sweeps(
    database: DatabaseDep,
    sweeps: SweepsDep,
    caller: Caller,
    state: Annotated[SweepState | str, Query(max_length=16)] = "",
    q: Annotated[str, Query(max_length=64)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """List sweeps, newest first; the open page polls this address and replaces its list.

    Args:
        database: Database with the trials.
        sweeps: Service that searches sweeps.
        caller: Author of the request.
        state: Only sweeps in this state; all if it is not a state.
        q: Part of a name, or the beginning of an id.
        page: Number of the page, from 1.
    """
    states = [SweepState(state)] if state in set(SweepState) else []
    found, total = sweeps.search(
        states=states, text=q.strip(), offset=(page - 1) * _PAGE_SIZE, limit=_PAGE_SIZE
    )
    with database.snapshot() as session:
        best = _best_scores(TrialRepository(session), found)
    return render_page(
        "sweeps.html",
        sweeps=found,
        best=best,
        caller=caller,
        states=list(SweepState),
        state=state,
        q=q,
        query=query_string(state=state, q=q),
        paging=Paging(page, _PAGE_SIZE, total),
    )


def _best_scores(
    trials: TrialRepository, sweeps: Iterable[SweepView]
) -> dict[str, list[BestScore]]:
    """The best score of each optimizer, by sweep; one query per kind of score."""
    ids: dict[ScoreName, list[str]] = {}
    for sweep in sweeps:
        ids.setdefault(sweep.score, []).append(sweep.sweep_id)
    found: dict[str, list[BestScore]] = {}
    for name, of_score in ids.items():
        found |= trials.best_scores(of_score, SCORES[name])
    return found
