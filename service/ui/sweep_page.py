"""The page of one sweep, its parts, its commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status
from fastapi.responses import RedirectResponse

from service.api.dependencies import (
    database,
    driver_logs,
    mlflow_gateway,
    summary_service,
    sweep_service,
)
from service.events.repository import EventRepository
from service.execution.driver_logs import DriverLogs
from service.external.mlflow_gateway import MlflowGateway
from service.problems import ConflictProblem
from service.security.csrf import require_same_origin
from service.states import Command
from service.storage import Database
from service.summaries.service import SummaryService
from service.sweeps.service import SweepService
from service.ui import sweep_parts
from service.ui.event_sentences import happenings
from service.ui.new_sweep import read_form
from service.ui.permissions import Caller
from service.ui.rendering import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}")

_LARGE_TRIALS = 1_000
"""The results of fewer trials are worked out within a fraction of a second."""
_LOG_LINES = 500
_EVENTS_A_PAGE = 100

FIGURES = {
    "best": "Best configurations",
    "lr-curves": "By learning rate",
    "expected-max": "Tuning budget",
    "rank": "Ranks",
    "overview": "All heatmaps",
    "curvature-scatter": "Curvature",
    "corruptions": "Corruptions",
    "learning-curves": "Learning curves",
}
_NEEDS_GRID = ("lr-curves", "overview")


Name = Annotated[str | None, Query(max_length=40)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the heatmaps are asked to show."""

    metric: Name = None
    split: Name = None


Asked = Annotated[_Asked, Depends()]
Form = Annotated[dict[str, str], Depends(read_form)]
Mlflow = Annotated[MlflowGateway, Depends(mlflow_gateway)]
Stored = Annotated[Database, Depends(database)]
Summaries = Annotated[SummaryService, Depends(summary_service)]
Sweeps = Annotated[SweepService, Depends(sweep_service)]


@router.get("")
def show_sweep(
    sweep_id: str,
    asked: Asked,
    stored: Stored,
    sweeps: Sweeps,
    summaries: Summaries,
    caller: Caller,
    figure: Name = None,
    whole: bool = False,
) -> Response:
    """One sweep; what takes long to work out follows by itself, unless the ``whole`` is wanted."""
    sweep = sweeps.get(sweep_id)
    is_large = sweep.progress.ended > _LARGE_TRIALS
    is_grid = sweep.specification["search"]["type"] == "grid"
    figures = {name: FIGURES[name] for name in FIGURES if is_grid or name not in _NEEDS_GRID}
    context: dict[str, Any] = {
        **sweep_parts.running(sweep, stored),
        **(
            sweep_parts.no_results(asked.metric, asked.split)
            if is_large and not whole
            else sweep_parts.results(sweep, stored, summaries, asked.metric, asked.split)
        ),
        **sweep_parts.history(sweep, stored),
        **sweep_parts.status(sweep, caller),
    }
    return render_page(
        "sweep.html", **context, figures=figures, figure=figure or next(iter(figures))
    )


@router.get("/status")
def show_status(sweep_id: str, sweeps: Sweeps, caller: Caller) -> Response:
    """State, progress and commands."""
    return render_page("_status.html", **sweep_parts.status(sweeps.get(sweep_id), caller))


@router.get("/running")
def show_running(sweep_id: str, stored: Stored, sweeps: Sweeps, mlflow: Mlflow) -> Response:
    """Trials that run now, with their curves."""
    return render_page("_running.html", **sweep_parts.running(sweeps.get(sweep_id), stored, mlflow))


@router.get("/results")
def show_results(
    sweep_id: str, asked: Asked, stored: Stored, sweeps: Sweeps, summaries: Summaries
) -> Response:
    """Heatmaps and sensitivity."""
    sweep = sweeps.get(sweep_id)
    context = sweep_parts.results(sweep, stored, summaries, asked.metric, asked.split)
    return render_page("_results.html", **context)


@router.get("/history")
def show_history(sweep_id: str, stored: Stored, sweeps: Sweeps) -> Response:
    """What happened last."""
    return render_page("_history.html", **sweep_parts.history(sweeps.get(sweep_id), stored))


@router.get("/events")
def show_events(
    sweep_id: str,
    stored: Stored,
    sweeps: Sweeps,
    caller: Caller,
    before: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """All that happened, newest first."""
    sweep = sweeps.get(sweep_id)
    with stored.snapshot() as session:
        events = EventRepository(session).newest(
            sweep_id, limit=_EVENTS_A_PAGE + 1, all_trials=True, before=before
        )
    shown = events[:_EVENTS_A_PAGE]
    return render_page(
        "events.html",
        sweep=sweep,
        caller=caller,
        happenings=happenings(shown),
        earlier=shown[-1].number if len(events) > len(shown) else None,
        before=before,
    )


@router.get("/log")
def show_log(
    sweep_id: str, sweeps: Sweeps, logs: Annotated[DriverLogs, Depends(driver_logs)]
) -> Response:
    """The end of what the drivers printed."""
    drivers = range(1, sweeps.get(sweep_id).attempt + 1)
    found = logs.read(sweep_id, drivers, lines=_LOG_LINES)
    texts = {f"Driver {number}": text for number, text in found if text}
    return render_page("_log.html", texts=texts, empty="No driver has printed anything yet.")


@router.post("/{command}", dependencies=[Depends(require_same_origin)])
def command(
    sweep_id: str, command: Command, sweeps: Sweeps, caller: Caller, form: Form
) -> Response:
    """Ask something of a sweep and come back to it; other code than before needs consent."""
    if command is Command.DELETE:
        sweeps.delete(sweep_id)
        return RedirectResponse("/", status.HTTP_303_SEE_OTHER)
    try:
        sweeps.command(sweep_id, command, accept_changes=form.get("force") == "true")
    except ConflictProblem as problem:
        if problem.code != "code-changed":
            raise
        return render_page(
            "consent.html",
            status_code=problem.status,
            sweep=sweeps.get(sweep_id),
            caller=caller,
            command=command,
            changed=problem.extra,
        )
    return RedirectResponse(f"/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)
