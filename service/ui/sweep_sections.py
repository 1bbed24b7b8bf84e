"""Template contexts of the sections of a sweep's page that change while the sweep runs.

    status     state, reason, progress, commands
    running    running trials, with sparklines
    results    heatmaps or the best configurations, sensitivity, comparisons
    history    the newest events

The attribute ``data-on`` of a section lists the kinds of events that change it;
``static/live.js`` follows the events and loads the section again.
"""

from __future__ import annotations

from typing import Any

from service.events.repository import EventRepository
from service.external.mlflow_gateway import MlflowGateway
from service.security.access import Principal
from service.sensitivity import (
    FigureData,
    NotAvailableError,
    axis_table,
    calibration_table,
    further_test_set_table,
    gain_table,
    pairs_matrix,
    pairs_table,
    published_table,
    render_table,
)
from service.sensitivity.figures.heatmap_plane import Plane
from service.sensitivity.hyperparameters import merge_axes
from service.states import TERMINAL, Command
from service.storage import Database
from service.summaries.loading import axes_of
from service.summaries.service import FigureOptions, SummaryService
from service.sweeps.schemas import SweepDetail
from service.trials.repository import TrialRepository
from service.ui.dependencies import may_post
from service.ui.heatmap_tables import MetricChoice, heatmap_tables, metric_choices
from service.ui.heatmap_view import (
    HeatmapView,
    axis_selectors,
    choose_metric,
    choose_view_plane,
    colour_span,
    selectors,
)
from service.ui.links import condition_text, query_string
from service.ui.sparklines import load_sparklines
from service.ui.timeline import timeline
from workers.hyperparameter_text import axis_titles, value_text
from workers.spec import read_stored, stored_score

__all__ = ["history", "results", "results_to_load", "running", "status"]

_MAX_RUNNING = 24
_MAX_BEST = 10
_MAX_EVENTS = 8


def status(sweep: SweepDetail, caller: Principal) -> dict[str, Any]:
    """Context of the section "status"; it offers only commands that the caller may send."""
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
            and may_post(caller, f"/sweeps/{sweep.sweep_id}/{command}")
        ],
        "may_submit": may_post(caller, "/new"),
    }


def running(
    sweep: SweepDetail, database: Database, mlflow: MlflowGateway | None = None
) -> dict[str, Any]:
    """Context of the section "running"; with sparklines if ``mlflow`` is given."""
    with database.snapshot() as session:
        trials = TrialRepository(session).running(sweep.sweep_id, _MAX_RUNNING)
    whole = sweep.specification["training"]["epochs"]
    epochs = {trial.key: trial.hyperparameters.get("training.epochs", whole) for trial in trials}
    longest = max(epochs.values(), default=whole)
    score = stored_score(sweep.specification)
    return {
        "sweep": sweep,
        "running": trials,
        "titles": axis_titles(
            dict.fromkeys(name for t in trials for name in t.hyperparameters), short=True
        ),
        "value_text": value_text,
        "epochs": epochs,
        "score": score,
        "sparklines": load_sparklines(mlflow, trials, longest, score) if mlflow else {},
        "has_sparklines": mlflow is not None,
    }


def results(
    sweep: SweepDetail,
    database: Database,
    summaries: SummaryService,
    view: HeatmapView,
) -> dict[str, Any]:
    """Context of the section "results": what the trials that have ended show.

    Args:
        sweep: The sweep.
        database: Database with its trials.
        summaries: Service that computes summary and heatmap.
        view: Metric and axes of the heatmaps.
    """
    try:
        summary = summaries.summary(sweep.sweep_id)
    except NotAvailableError:  # no trial has ended yet
        summary = None
    specification = read_stored(sweep.specification)
    score = specification.scored_by
    choices = metric_choices(summary, score)
    choice = choose_metric(choices, view)
    is_grid = specification.search.type == "grid"
    by_optimizer = [axes_of(specification, label) for label in specification.labels]
    axes = merge_axes(axis for own in by_optimizer for axis in own)
    plane = choose_view_plane(by_optimizer, view)
    with database.snapshot() as session:
        trials = TrialRepository(session)
        running_trials = trials.running(sweep.sweep_id) if is_grid else ()
        best = () if is_grid else trials.best_configurations(sweep.sweep_id, _MAX_BEST, score)
    heatmaps, files = None, ""
    chosen = axis_selectors(axes, plane) if plane else []
    if is_grid and plane is not None:
        options = _heatmap_options(choice, plane, view)
        figure = _heatmap(sweep.sweep_id, summaries, options)
        absences = {
            optimizer.optimizer: optimizer.reason
            for optimizer in (summary.unscored_optimizers if summary and summary.ended else ())
        }
        heatmaps = heatmap_tables(specification, plane, figure, choice, running_trials, absences)
        files = query_string(**options)
        chosen = selectors(axes, plane, view, choice)
    return {
        "sweep": sweep,
        "score": score,
        "view": view,
        "choices": choices,
        "choice": choice,
        "is_grid": is_grid,
        "heatmaps": heatmaps,
        "heatmap_query": files,
        "selectors": chosen,
        "axis_titles": axis_titles((axis.name for axis in axes), short=True),
        "best_configurations": best,
        "summary": summary,
        "table": render_table(summary) if summary else None,
        "axis_table": axis_table(summary) if summary else None,
        "calibration_table": calibration_table(summary) if summary else None,
        "further_test_set_table": further_test_set_table(summary) if summary else None,
        "pairs_table": pairs_table(summary) if summary else None,
        "pairs_matrix": pairs_matrix(summary) if summary else None,
        "published_tables": [published_table(summary), gain_table(summary)] if summary else [],
        "has_next_cells": summary is not None
        and any(
            optimizer.published.local_optimality and optimizer.published.local_optimality.next_cells
            for optimizer in summary.optimizers
        ),
    }


def _heatmap_options(choice: MetricChoice, plane: Plane, view: HeatmapView) -> FigureOptions:
    """The options of the figure "heatmap" that shows what the page shows."""
    return {
        **{"metric": choice.metric, "split": choice.split},
        **{"x": plane.x.name, "y": plane.y.name, "rest": plane.rest},
        "at": [condition_text(name, value) for name, value in plane.fixed.items()],
        "span": colour_span(view, choice),
    }


def _heatmap(sweep_id: str, summaries: SummaryService, options: FigureOptions) -> FigureData | None:
    """The data of the heatmaps; None before a trial has ended."""
    try:
        return summaries.figure(sweep_id, "heatmap", options=options)
    except NotAvailableError:
        return None


def results_to_load(view: HeatmapView) -> dict[str, Any]:
    """Context of a placeholder for the section "results", which the page loads by itself."""
    return {"results_query": view.query()}


def history(sweep: SweepDetail, database: Database) -> dict[str, Any]:
    """Context of the section "history"."""
    with database.snapshot() as session:
        events = EventRepository(session).newest(
            sweep.sweep_id, limit=_MAX_EVENTS, all_trials=False
        )
    return {"sweep": sweep, "entries": timeline(events)}
