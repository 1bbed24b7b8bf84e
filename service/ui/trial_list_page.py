"""Page with the trials of a sweep, filtered and in pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Response

from service.api.trials import Status
from service.trials.repository import TrialFilter, TrialRepository
from service.ui.dependencies import Caller, DatabaseDep, SweepsDep
from service.ui.labels import optimizer_title
from service.ui.links import query_string
from service.ui.page_responses import PageRoute, render_page
from service.ui.paging import Paging
from workers.spec import Range, read_stored

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_PAGE_SIZE = 100


@router.get("/sweeps/{sweep_id}/trials")
def show_trials(
    sweep_id: str,
    database: DatabaseDep,
    sweeps: SweepsDep,
    caller: Caller,
    status: Status | Literal[""] = "",
    optimizer: Annotated[str, Query(max_length=64)] = "",
    learning_rate: Annotated[str, Query(max_length=32)] = "",
    weight_decay: Annotated[str, Query(max_length=32)] = "",
    order: Literal["", "best"] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """List the trials that match a filter; an empty parameter matches every trial.

    Args:
        sweep_id: Id of the sweep.
        database: Database with the trials.
        sweeps: Service that reads the sweep.
        caller: Author of the request.
        status: Outcome, "running" or "pending".
        optimizer: Label of an optimizer.
        learning_rate: A number; other text matches every trial.
        weight_decay: A number; other text matches every trial.
        order: "best" sorts by validation accuracy, else the order is that of the specification.
        page: Number of the page, from 1.
    """
    sweep = sweeps.get(sweep_id)
    specification = read_stored(sweep.specification)
    selected = TrialFilter(
        status or None, optimizer or None, _number(learning_rate), _number(weight_decay)
    )
    with database.snapshot() as session:
        trials, total = TrialRepository(session).find(
            sweep_id,
            selected,
            offset=(page - 1) * _PAGE_SIZE,
            limit=_PAGE_SIZE,
            best_first=order == "best",
        )
    return render_page(
        "trials.html",
        sweep=sweep,
        caller=caller,
        trials=trials,
        selected=selected,
        is_filtered=selected != TrialFilter(),
        statuses={status: status for status in get_args(Status)},
        optimizers={label: optimizer_title(label) for label in specification.labels},
        learning_rates=_grid_values(specification.search.learning_rate),
        weight_decays=_grid_values(specification.search.weight_decay),
        paging=Paging(page, _PAGE_SIZE, total),
        order=order,
        query=query_string(**asdict(selected), order=order),
    )


def _grid_values(values: Range | tuple[float, ...]) -> dict[float, str]:
    """The text of each value of a grid; empty for a search that samples a range."""
    return {} if isinstance(values, Range) else {value: f"{value:.4g}" for value in values}


def _number(text: str) -> float | None:
    """Parse a number; None if invalid, which disables the filter."""
    try:
        return float(text)
    except ValueError:
        return None
