"""The parts of a sweep's page that change while it runs; each fetches itself again.

    status     state, reason, progress, commands
    running    the trials that run now, with their curves
    results    heatmaps or the best configurations, sensitivity, comparisons
    history    the newest events

Each names in ``data-on`` the events that concern it; ``static/live.js`` follows the events.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from service.events.repository import EventRepository
from service.external.mlflow_gateway import MlflowGateway
from service.security.access import Principal
from service.sensitivity import NotAvailableError, render_table
from service.states import TERMINAL, Command
from service.storage import Database
from service.summaries.service import SummaryService
from service.sweeps.schemas import SweepDetail
from service.trials.repository import TrialRepository
from service.ui.event_sentences import happenings
from service.ui.heatmaps import Choice, choices, heatmaps
from service.ui.labels import comparison_sentence
from service.ui.permissions import allows
from service.ui.running_curves import running_curves
from workers.spec import read_stored

__all__ = ["history", "no_results", "results", "running", "status"]

_RUNNING_SHOWN = 24
_BEST_SHOWN = 10
_EVENTS_SHOWN = 8


def status(sweep: SweepDetail, caller: Principal) -> dict[str, Any]:
    """What the heading shows."""
    progress = sweep.progress
    can_retry = progress.failed or progress.cancelled or progress.pending or progress.running
    return {
        "sweep": sweep,
        "is_live": sweep.state not in TERMINAL,
        "caller": caller,
        "commands": [
            command
            for command in sweep.commands
            if (can_retry or command is not Command.RETRY_FAILED)
            and allows(caller, f"/sweeps/{sweep.sweep_id}/{command}")
        ],
        "may_submit": allows(caller, "/new"),
    }


def running(
    sweep: SweepDetail, stored: Database, mlflow: MlflowGateway | None = None
) -> dict[str, Any]:
    """The trials that run now; with their curves where ``mlflow`` is given."""
    with stored.snapshot() as session:
        trials = TrialRepository(session).running(sweep.sweep_id, _RUNNING_SHOWN)
    epochs = sweep.specification["training"]["epochs"]
    return {
        "sweep": sweep,
        "running": trials,
        "epochs": epochs,
        "curves": running_curves(mlflow, trials, epochs) if mlflow else {},
        "is_update": mlflow is not None,
    }


def results(
    sweep: SweepDetail,
    stored: Database,
    summaries: SummaryService,
    metric: str | None,
    split: str | None,
) -> dict[str, Any]:
    """What the trials that have ended say."""
    try:
        summary = summaries.summary(sweep.sweep_id)
    except NotAvailableError:  # no trial has ended yet
        summary = None
    possible = choices(summary)
    choice = _choose(possible, metric, split)
    specification = read_stored(sweep.specification)
    is_grid = specification.search.type == "grid"
    try:
        options = {"metric": choice.metric, "split": choice.split}
        figure = summaries.figure(sweep.sweep_id, "heatmap", options=options) if is_grid else None
    except NotAvailableError:
        figure = None
    with stored.snapshot() as session:
        trials = TrialRepository(session)
        busy = trials.running(sweep.sweep_id) if is_grid else ()
        best = () if is_grid else trials.best_configurations(sweep.sweep_id, _BEST_SHOWN)
    return {
        "sweep": sweep,
        "choices": possible,
        "choice": choice,
        "heatmaps": heatmaps(specification, figure, choice, busy),
        "best_configurations": best,
        "summary": summary,
        "table": render_table(summary) if summary else None,
        "comparison_sentence": comparison_sentence,
    }


def no_results(metric: str | None, split: str | None) -> dict[str, Any]:
    """In their place while they are worked out."""
    asked = {"metric": metric, "split": split}
    return {"results_query": urlencode({name: value for name, value in asked.items() if value})}


def history(sweep: SweepDetail, stored: Database) -> dict[str, Any]:
    """What happened last."""
    with stored.snapshot() as session:
        events = EventRepository(session).newest(
            sweep.sweep_id, limit=_EVENTS_SHOWN, all_trials=False
        )
    return {"sweep": sweep, "happenings": happenings(events)}


def _choose(possible: list[Choice], metric: str | None, split: str | None) -> Choice:
    """The metric asked for; validation accuracy, which comes first, where it is not measured."""
    for choice in possible:
        if choice.metric == metric and split in (None, choice.split):
            return choice
    return possible[0]
