"""Page with the list of all sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from service.states import SweepState
from service.sweeps.repository import SweepRepository
from service.sweeps.schemas import SweepView
from service.sweeps.selection import ARCHIVED, SweepOrder, SweepSelection, parse_tags
from service.trials.repository import BestScore, TrialRepository
from service.ui.dependencies import Caller, DatabaseDep, SweepsDep
from service.ui.links import query_string
from service.ui.page_responses import PageRoute, render_page
from service.ui.paging import Paging
from workers.scores import SCORES, ScoreName

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_PAGE_SIZE = 25

Filter = Annotated[str, Query(max_length=200)]


@router.get("/")
def show_sweeps(
    database: DatabaseDep,
    sweeps: SweepsDep,
    caller: Caller,
    state: Annotated[SweepState | str, Query(max_length=16)] = "",
    q: Annotated[str, Query(max_length=64)] = "",
    model: Filter = "",
    dataset: Filter = "",
    creator: Filter = "",
    tag: Filter = "",
    archived: Annotated[Literal["no", "only", "all"] | str, Query(max_length=8)] = "",
    sort: Annotated[SweepOrder | str, Query(max_length=16)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    hx_request: Annotated[str, Header()] = "",
    hx_history_restore_request: Annotated[str, Header()] = "",
) -> Response:
    """List sweeps, newest first; the open page polls this address and replaces its list.

    Args:
        database: Database with the trials.
        sweeps: Service that searches sweeps.
        caller: Author of the request.
        state: Only sweeps in this state; all if it is not a state.
        q: Part of a name, or the beginning of an id.
        model: Only sweeps of this model.
        dataset: Only sweeps of this data set.
        creator: Only sweeps of this creator.
        tag: Only sweeps with this tag, ``name=value`` or ``name``.
        archived: ``only`` for archived sweeps, ``all`` for these too.
        sort: Order; newest first if it is not an order.
        page: Number of the page, from 1.
        hx_request: Set by htmx, which takes the list from the page and leaves its filters.
        hx_history_restore_request: Set by htmx when it takes the whole page.
    """
    selection = SweepSelection(
        states=[SweepState(state)] if state in set(SweepState) else [],
        text=q.strip(),
        creator=creator,
        model=model,
        dataset=dataset,
        tags=parse_tags([tag]),
        archived=ARCHIVED.get(archived, False),
    )
    order = SweepOrder(sort) if sort in set(SweepOrder) else SweepOrder.NEWEST
    found, total = sweeps.search(
        selection, order=order, offset=(page - 1) * _PAGE_SIZE, limit=_PAGE_SIZE
    )
    filters = {
        "state": state,
        "q": q,
        "model": model,
        "dataset": dataset,
        "creator": creator,
        "tag": tag,
        "archived": archived,
        "sort": sort,
    }
    is_whole = not hx_request or bool(hx_history_restore_request)
    with database.snapshot() as session:
        choices = SweepRepository(session).choices() if is_whole else None
        best = _best_scores(TrialRepository(session), found)
    return render_page(
        "sweeps.html",
        sweeps=found,
        best=best,
        caller=caller,
        states=list(SweepState),
        filters=filters,
        choices=choices,
        orders=list(SweepOrder),
        query=query_string(**filters),
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
