"""Page with the learning curves of chosen trials in one figure."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.problems import InvalidProblem, NotFoundProblem
from service.storage import TrialRow
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository
from service.ui.curve_overlay import (
    MAX_OVERLAID,
    curve_metrics,
    draw_overlay,
    overlay_records,
    trial_titles,
)
from service.ui.dependencies import Caller, DatabaseDep, FigureFormat, MlflowDep, SweepsDep, Theme
from service.ui.labels import metric_title
from service.ui.links import query_string
from service.ui.page_responses import PageRoute, figure_response, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}/curves")

Keys = Annotated[list[Annotated[str, Query(max_length=32)]], Query(max_length=200)]
Metric = Annotated[str, Query(max_length=64)]


def _trials(sweep_id: str, database: DatabaseDep, trial: Keys = []) -> list[TrialRow]:  # noqa: B006 - FastAPI copies it
    """The chosen trials, in the order of the specification.

    Raises:
        NotFoundProblem: There is no such sweep or trial.
        InvalidProblem: There are too many trials for one figure.
    """
    keys = list(dict.fromkeys(trial))
    if len(keys) > MAX_OVERLAID:
        detail = f"trial: at most {MAX_OVERLAID} trials in one figure (got {len(keys)})"
        raise InvalidProblem(detail, code="too-many-trials")
    with database.snapshot() as session:
        require_sweep(session, sweep_id)
        found = [(key, TrialRepository(session).get(sweep_id, key)) for key in keys]
    for key, row in found:
        if row is None:
            detail = f"sweep {sweep_id} has no trial {key[:40]!r}"
            raise NotFoundProblem(detail, code="unknown-trial")
    return sorted((row for _, row in found if row is not None), key=lambda row: row.position)


Chosen = Annotated[list[TrialRow], Depends(_trials)]


@router.get("")
def show_curves(
    sweep_id: str, trials: Chosen, sweeps: SweepsDep, caller: Caller, metric: Metric = ""
) -> Response:
    """Show the curves of the chosen trials, one metric at a time."""
    sweep = sweeps.get(sweep_id)
    metrics = curve_metrics(trials)
    return render_page(
        "curves.html",
        sweep=sweep,
        caller=caller,
        trials=trials,
        titles=trial_titles(trials),
        metrics={name: metric_title(name) for name in metrics},
        metric=metric if metric in metrics else next(iter(metrics), ""),
        query=query_string(trial=[trial.key for trial in trials]),
    )


@router.get("/figure")
def show_figure(
    trials: Chosen,
    mlflow: MlflowDep,
    metric: Metric,
    file_format: FigureFormat = "vega-lite",
    theme: Theme = "light",
) -> Response:
    """Draw a metric of the chosen trials over the epochs.

    Raises:
        NotFoundProblem: None of the trials has this metric.
    """
    runs = {
        trial.key: trial.mlflow_run_id
        for trial in trials
        if trial.mlflow_run_id and metric in curve_metrics([trial])
    }
    histories = mlflow.histories(list(runs.values()), metric)
    records = overlay_records(trials, {key: histories[run_id] for key, run_id in runs.items()})
    if not records:
        detail = f"none of these trials has recorded {metric[:40]!r}"
        raise NotFoundProblem(detail, code="unknown-figure")
    return figure_response(draw_overlay(metric, records, theme), file_format)
