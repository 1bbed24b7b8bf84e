"""Page of one trial: outcome, curves, curvature, corruptions, log, configuration."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.execution import show_trial_logs
from service.api.trials import show_trial, stored_trial, trial_checkpoint
from service.external.mlflow_gateway import MlflowUnavailableError
from service.problems import NotFoundProblem
from service.security.access import Principal, Role
from service.settings import Settings
from service.states import TERMINAL
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.repository import SweepRepository
from service.trials.schemas import TrialDetail
from service.trials.scores import counted_scores
from service.ui.dependencies import (
    Caller,
    DatabaseDep,
    FigureFormat,
    MlflowDep,
    SettingsDep,
    Theme,
)
from service.ui.heatmap_tables import shade_class
from service.ui.page_responses import PageRoute, figure_response, render_page
from service.ui.trial_figures import TRIAL_FIGURES, draw_trial_figure, figure_title, trial_records
from service.unavailable import full_message
from workers.hyperparameter_text import axis_titles, value_text
from workers.metrics import METRICS, SPLITS
from workers.spec import read_stored

__all__ = ["router"]

log = logging.getLogger(__name__)

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}/trials/{key}")

_MAX_LOG_LINES = 500

_TRAINING_CURVATURE = {
    "critical_sharpness": "2 / smallest step along the last update that raises the loss",
    "stability_ratio": "step size × (preconditioned) λmax over its limit; unstable above 1",
    "worst_case_sharpness": "largest rise of the loss in a relative box around the weights",
    "average_case_sharpness": "mean rise of the loss under relative Gaussian noise",
    "gradient_noise_scale": "images; larger batches bring little beyond",
}

StoredTrial = tuple[SweepRow, TrialRow]


def _stored_trial(sweep_id: str, key: str, database: DatabaseDep) -> StoredTrial:
    """The requested trial and its sweep, as stored.

    Raises:
        NotFoundProblem: There is no such sweep or trial.
    """
    return stored_trial(database, sweep_id, key)


@router.get("")
def show_page(
    stored: Annotated[StoredTrial, Depends(_stored_trial)],
    database: DatabaseDep,
    mlflow: MlflowDep,
    settings: SettingsDep,
    caller: Caller,
) -> Response:
    """Show a trial; if MLflow does not answer, without curves, corruptions and traceback."""
    sweep, trial = stored
    detail: TrialDetail | None = None
    unavailable: str | None = None
    try:
        detail = show_trial(sweep.sweep_id, trial.key, database, mlflow, settings)
    except MlflowUnavailableError as error:
        log.warning("trial %s is shown without its curves: %s", trial.key, full_message(error))
        unavailable = str(error)
    specification = read_stored(sweep.specification)
    configuration = specification.trial(trial.optimizer, trial.hyperparameters, trial.seed)
    matrix = detail.ood_matrix if detail else None
    return render_page(
        "trial.html",
        sweep=sweep,
        trial=trial,
        score=specification.scored_by,
        caller=caller,
        scores=counted_scores(trial, specification.scored_by, sweep.classes),
        original=_original(trial, database),
        is_live=trial.outcome is None and sweep.state not in TERMINAL,
        epochs=configuration.training.epochs,
        hyperparameters={
            title: value_text(trial.hyperparameters[name])
            for name, title in axis_titles(trial.hyperparameters, short=True).items()
        },
        configuration=_flatten(configuration.describe()),
        figures=_figure_titles(detail) if detail else {},
        matrix=_with_shades(matrix) if matrix else None,
        training_curvature=[
            (METRICS[name].title, trial.metrics[name], note)
            for name, note in _TRAINING_CURVATURE.items()
            if name in trial.metrics
        ],
        calibration=_calibration(trial.metrics),
        severities=specification.ood.severities if specification.ood else (),
        splits=SPLITS,
        traceback=detail.traceback if detail else None,
        unavailable=unavailable,
        has_checkpoint=_may_have_checkpoint(trial, caller, settings),
        mlflow=settings.mlflow_run_url(sweep.mlflow_experiment_id, trial.mlflow_run_id),
    )


@router.get("/log")
def show_log(
    sweep_id: str, key: str, database: DatabaseDep, mlflow: MlflowDep, settings: SettingsDep
) -> Response:
    """Show the last lines of the trial's log."""
    answer = show_trial_logs(sweep_id, key, database, mlflow, settings, _MAX_LOG_LINES)
    text = bytes(answer.body).decode()
    return render_page(
        "_log.html",
        texts={"Log": text} if text else {},
        empty="The trial has not logged anything yet.",
    )


@router.get("/figures/{name}")
def show_figure(
    sweep_id: str,
    key: str,
    name: str,
    database: DatabaseDep,
    mlflow: MlflowDep,
    settings: SettingsDep,
    file_format: FigureFormat = "vega-lite",
    theme: Theme = "light",
) -> Response:
    """Draw a figure of the trial."""
    trial = show_trial(sweep_id, key, database, mlflow, settings)
    spec = draw_trial_figure(name, trial, theme)
    if spec is None:
        detail = f"trial {key[:40]} has no figure {name[:40]!r}"
        raise NotFoundProblem(detail, code="unknown-figure")
    return figure_response(spec, file_format)


def _original(trial: TrialRow, database: Database) -> SweepRow | None:
    """The sweep that computed a reused trial; None if it is not reused, or that was deleted."""
    if trial.reused_from is None:
        return None
    with database.snapshot() as session:
        return SweepRepository(session).get(trial.reused_from["sweep_id"])


def _may_have_checkpoint(trial: TrialRow, caller: Principal, settings: Settings) -> bool:
    """Whether to offer the checkpoint of a trial; on S3 it may be gone."""
    path = trial_checkpoint(trial, settings)
    exists = path.is_file() if isinstance(path, Path) else trial.epoch > 0
    return exists and caller.role.includes(Role.SUBMIT)


def _figure_titles(trial: TrialDetail) -> dict[str, str]:
    """The titles of the figures for which the trial has data, by name."""
    data = {name: trial_records(name, trial) for name in TRIAL_FIGURES}
    return {name: figure_title(name, records) for name, records in data.items() if records}


def _calibration(
    metrics: Mapping[str, float],
) -> list[tuple[str, float | None, float | None, float | None]]:
    """Loss, Brier score and calibration error by set of images; empty where not measured."""
    rows = {"validation": ("val", ""), "OOD, mean": ("ood", "")}
    for prefix in ("test", "ood"):
        start = f"{prefix}_ece."
        names = sorted(name.removeprefix(start) for name in metrics if name.startswith(start))
        rows |= {name.replace("_", " "): (prefix, f".{name}") for name in names}
    return [
        (
            images,
            metrics.get(f"{prefix}_loss{suffix}"),
            metrics.get(f"{prefix}_brier{suffix}"),
            metrics[f"{prefix}_ece{suffix}"],
        )
        for images, (prefix, suffix) in rows.items()
        if f"{prefix}_ece{suffix}" in metrics
    ]


def _flatten(fields: object, path: str = "") -> list[tuple[str, object]]:
    """A configuration as (path, value); fields that are None are left out."""
    if isinstance(fields, dict):
        return [
            line
            for name, value in fields.items()
            for line in _flatten(value, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(fields, list):
        return [(path, ", ".join(map(str, fields)))]
    return [] if fields is None else [(path, fields)]


def _with_shades(matrix: dict[str, list[float]]) -> dict[str, list[tuple[float, str]]]:
    """Accuracies with the CSS class of their colour, on a scale from 0 to the best."""
    best = max((value for values in matrix.values() for value in values), default=1.0) or 1.0
    return {
        corruption: [(value, shade_class("v", value / best)) for value in values]
        for corruption, values in matrix.items()
    }
