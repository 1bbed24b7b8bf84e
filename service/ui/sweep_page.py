"""The page of one sweep: progress, heatmaps, sensitivity, figures, commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status
from fastapi.responses import RedirectResponse

from service.dependencies import answers, database, sweep_service
from service.storage import Database
from service.summaries import render_table
from service.summaries.answers import Answers
from service.sweeps.lifecycle import TERMINAL, Command
from service.sweeps.schemas import SweepDetail
from service.sweeps.service import SweepService
from service.ui.heatmaps import Choice, choices, heatmaps
from service.ui.origin import require_same_origin
from service.ui.queries import running_trials
from service.ui.rendering import PageRoute, render_page
from service.ui.sweep_results import SweepResults
from workers.spec import SweepSpec

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}")

_RUNNING_SHOWN = 32
_POLL_SECONDS = 2
_SLOW_POLL_SECONDS = 10
_SMALL_SWEEP_TRIALS = 1_000
"""Up to so many trials a page is made in a few milliseconds."""

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

Name = Annotated[str | None, Query(max_length=40)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page is asked to show."""

    metric: Name = None
    split: Name = None


Asked = Annotated[_Asked, Depends()]
Stored = Annotated[Database, Depends(database)]
Sensitivity = Annotated[Answers, Depends(answers)]
Sweeps = Annotated[SweepService, Depends(sweep_service)]


@router.get("")
def show_sweep(
    sweep_id: str,
    asked: Asked,
    stored: Stored,
    sweeps: Sweeps,
    sensitivity: Sensitivity,
    figure: Name = None,
) -> Response:
    """One sweep."""
    sweep = sweeps.get(sweep_id)
    results = SweepResults(sensitivity, sweep_id)
    small = sweep.progress.total <= _SMALL_SWEEP_TRIALS
    return render_page(
        "sweep.html",
        **_live(stored, sweep, results, asked),
        is_update=False,
        figures=FIGURES,
        figure=figure or next(iter(FIGURES)),
        poll_seconds=_POLL_SECONDS if small else _SLOW_POLL_SECONDS,
    )


@router.get("/live")
def show_live(
    sweep_id: str, asked: Asked, stored: Stored, sweeps: Sweeps, sensitivity: Sensitivity
) -> Response:
    """The part of the page that changes while the sweep runs."""
    sweep = sweeps.get(sweep_id)
    results = SweepResults(sensitivity, sweep_id)
    return render_page("_live.html", **_live(stored, sweep, results, asked), is_update=True)


@router.post("/{command}", dependencies=[Depends(require_same_origin)])
def command(sweep_id: str, command: Command, sweeps: Sweeps) -> Response:
    """Ask something of a sweep and come back to it."""
    if command is Command.DELETE:
        sweeps.delete(sweep_id)
        return RedirectResponse("/", status.HTTP_303_SEE_OTHER)
    sweeps.command(sweep_id, command)
    return RedirectResponse(f"/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)


def _live(
    stored: Database, sweep: SweepDetail, results: SweepResults, asked: _Asked
) -> dict[str, Any]:
    """What the live part shows."""
    with stored.snapshot() as session:
        running = running_trials(session, sweep.sweep_id, _RUNNING_SHOWN)
    summary = results.summary()
    possible = choices(summary)
    choice = _choose(possible, asked)
    specification = SweepSpec.model_validate(sweep.specification)
    return {
        "sweep": sweep,
        "running": running,
        "choices": possible,
        "choice": choice,
        "heatmaps": heatmaps(specification, results, choice, running),
        "summary": summary,
        "table": render_table(summary) if summary else None,
        "is_live": sweep.state not in TERMINAL,
    }


def _choose(possible: list[Choice], asked: _Asked) -> Choice:
    """The metric asked for; validation accuracy, which comes first, where it is not measured."""
    for choice in possible:
        if choice.metric == asked.metric and asked.split in (None, choice.split):
            return choice
    return possible[0]
