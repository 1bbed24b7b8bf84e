"""Page with the trials of a sweep, filtered and in pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from service.api.trials import Status
from service.sweeps.service import require_sweep
from service.trials.conditions import parse_conditions
from service.trials.repository import TrialRepository
from service.trials.scores import counted_scores
from service.trials.selection import TrialFilter, TrialOrder
from service.ui.curve_overlay import MAX_OVERLAID
from service.ui.dependencies import Caller, DatabaseDep, SweepsDep
from service.ui.labels import metric_title, optimizer_title
from service.ui.links import condition_text
from service.ui.page_responses import PageRoute, render_page
from service.ui.paging import Paging
from workers.hyperparameter_text import axis_titles, value_text
from workers.metrics import METRICS
from workers.spec import Range, SweepSpec, read_stored

__all__ = ["router", "trials_query"]

_COLUMNS = ("optimizer", "seed", "epoch", "outcome")
"""Columns of the table of trials by which the list is sorted."""

router = APIRouter(route_class=PageRoute)

_PAGE_SIZE = 100


@router.get("/sweeps/{sweep_id}/trials")
def show_trials(
    sweep_id: str,
    database: DatabaseDep,
    sweeps: SweepsDep,
    caller: Caller,
    status: Status | Literal[""] = "",
    at: Annotated[list[Annotated[str, Query(max_length=500)]], Query(max_length=50)] = [],  # noqa: B006 - FastAPI copies it
    optimizer: Annotated[str, Query(max_length=64)] = "",
    learning_rate: Annotated[str, Query(max_length=32)] = "",
    weight_decay: Annotated[str, Query(max_length=32)] = "",
    sort: Annotated[str, Query(max_length=200)] = "",
    column: Annotated[list[Annotated[str, Query(max_length=100)]], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
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
        at: Values of hyperparameters, each as ``axis=value``; an empty one matches every trial.
        learning_rate: A number; other text matches every trial.
        weight_decay: A number; other text matches every trial.
        sort: Name of a column, metric or hyperparameter to sort by, with a minus for the largest
            first; any other text for the order of the specification.
        column: Metrics to show; by default the scores and the trace of the Hessian.
        page: Number of the page, from 1.
    """
    sweep = sweeps.get(sweep_id)
    specification = read_stored(sweep.specification)
    axes = _choices(specification)
    rates = {"learning_rate": _number(learning_rate), "weight_decay": _number(weight_decay)}
    known = {name: value for name, value in rates.items() if value is not None and name in axes}
    values = parse_conditions(filter(None, at), specification, known)
    selected = TrialFilter(status or None, optimizer or None, values)
    with database.snapshot() as session:
        classes = require_sweep(session, sweep_id).classes
        trials, total = TrialRepository(session).find(
            sweep_id,
            selected,
            offset=(page - 1) * _PAGE_SIZE,
            limit=_PAGE_SIZE,
            order=_order(sort, axes, specification),
        )
    score = specification.scored_by
    scores = {trial.key: counted_scores(trial, score, classes) for trial in trials}
    measured = {name for trial in trials for name in trial.metrics}
    trace = "hessian_trace.ood" if "hessian_trace.ood" in measured else "hessian_trace.validation"
    chosen = [name for name in column if name.partition(".")[0] in METRICS]
    return render_page(
        "trials.html",
        sweep=sweep,
        caller=caller,
        trials=trials,
        selected=selected,
        scores=scores,
        is_any_raised=any(
            trial.metrics.get(name) != value
            for trial in trials
            for name, value in scores[trial.key].items()
        ),
        is_filtered=selected != TrialFilter(),
        axes=axes,
        titles=axis_titles(axes, short=True),
        score=score,
        value_text=value_text,
        conditions={name: condition_text(name, value) for name, value in values.items()},
        statuses={status: status for status in get_args(Status)},
        optimizers={label: optimizer_title(label) for label in specification.labels},
        paging=Paging(page, _PAGE_SIZE, total),
        sort=sort,
        query=trials_query(selected, sort, chosen),
        filters=trials_query(selected, columns=chosen),
        columns=chosen or [*score.metrics, trace],
        choices=_metric_choices(measured | {*chosen, *score.metrics, trace}),
        max_overlaid=MAX_OVERLAID,
    )


def _order(
    sort: str, axes: Mapping[str, Mapping[str, str]], specification: SweepSpec
) -> TrialOrder | None:
    """The order that a query describes; None if it names nothing to sort by."""
    name = sort.removeprefix("-")
    is_descending = sort.startswith("-")
    if name in _COLUMNS:
        return TrialOrder("column", name, is_descending)
    if name.partition(".")[0] in METRICS:
        return TrialOrder("metric", name, is_descending)
    if name not in axes:
        return None
    found = [specification.axes(label).get(name, ()) for label in specification.labels]
    values = [value for axis in found if not isinstance(axis, Range) for value in axis]
    numeric = all(type(value) in (int, float) for value in values)  # true is no number to SQL
    return TrialOrder("number" if numeric else "text", name, is_descending)


def _choices(specification: SweepSpec) -> dict[str, dict[str, str]]:
    """Text of each value of each axis by its condition; none for a range."""
    found: dict[str, dict[str, str]] = {}
    for label in specification.labels:
        for name, axis in specification.axes(label).items():
            choices = found.setdefault(name, {})
            if not isinstance(axis, Range):
                choices |= {condition_text(name, value): value_text(value) for value in axis}
    return found


def _metric_choices(names: Iterable[str]) -> dict[str, str]:
    """Titles of the metrics to choose from, in the order of `METRICS`."""
    order = list(METRICS)
    known = [name for name in names if name.partition(".")[0] in METRICS]
    known.sort(key=lambda name: (order.index(name.partition(".")[0]), name))
    return {name: metric_title(name) for name in known}


def trials_query(selected: TrialFilter, sort: str = "", columns: Sequence[str] = ()) -> str:
    """The query string that selects trials in the list."""
    conditions = [condition_text(name, value) for name, value in selected.hyperparameters.items()]
    given = {"status": selected.status, "optimizer": selected.optimizer, "sort": sort}
    plain = [(name, value) for name, value in given.items() if value]
    shown = [("column", name) for name in columns]
    return urlencode([*plain, *(("at", condition) for condition in conditions), *shown])


def _number(text: str) -> float | None:
    """Parse a number; None if invalid, which disables the filter."""
    try:
        return float(text)
    except ValueError:
        return None
