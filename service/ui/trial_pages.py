"""The trials of a sweep, and one trial with its curves."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from service.api.dependencies import database, mlflow_gateway, settings, sweep_service
from service.api.execution import show_trial_logs
from service.api.trials import Status, show_trial
from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.problems import NotFoundProblem
from service.sensitivity.figures import MEDIA_TYPES, render
from service.settings import Settings
from service.states import TERMINAL
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.service import SweepService, require_sweep
from service.trials.repository import TrialFilter, TrialRepository
from service.trials.schemas import TrialDetail
from service.ui.heatmaps import SHADES
from service.ui.paging import Paging
from service.ui.permissions import Caller
from service.ui.rendering import HEADERS, PageRoute, render_page
from service.ui.trial_figures import TRIAL_FIGURES, draw_trial
from service.unavailable import full_message
from workers.metrics import SPLITS
from workers.spec import Range, read_stored

__all__ = ["router"]

log = logging.getLogger(__name__)

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}/trials")

_PAGE_SIZE = 100
_LOG_LINES = 500

Stored = Annotated[Database, Depends(database)]
Results = Annotated[MlflowGateway, Depends(mlflow_gateway)]
Config = Annotated[Settings, Depends(settings)]
Theme = Literal["light", "dark"]


@router.get("")
def show_trials(
    sweep_id: str,
    stored: Stored,
    sweeps: Annotated[SweepService, Depends(sweep_service)],
    caller: Caller,
    status: Status | Literal[""] = "",
    optimizer: Annotated[str, Query(max_length=64)] = "",
    learning_rate: Annotated[str, Query(max_length=32)] = "",
    weight_decay: Annotated[str, Query(max_length=32)] = "",
    order: Literal["", "best"] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """Trials that match, a page at a time."""
    sweep = sweeps.get(sweep_id)
    specification = read_stored(sweep.specification)
    wanted = TrialFilter(
        status or None, optimizer or None, _number(learning_rate), _number(weight_decay)
    )
    with stored.snapshot() as session:
        trials, total = TrialRepository(session).find(
            sweep_id,
            wanted,
            offset=(page - 1) * _PAGE_SIZE,
            limit=_PAGE_SIZE,
            best_first=order == "best",
        )
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    return render_page(
        "trials.html",
        sweep=sweep,
        caller=caller,
        trials=trials,
        wanted=wanted,
        is_filtered=bool(given),
        statuses=get_args(Status),
        optimizers=[choice.label or choice.name for choice in specification.optimizers],
        learning_rates=_choices(specification.search.learning_rate),
        weight_decays=_choices(specification.search.weight_decay),
        paging=Paging(page, _PAGE_SIZE, total),
        order=order,
        query=urlencode(given | ({"order": order} if order else {})),
    )


@router.get("/{key}")
def show_one(
    sweep_id: str,
    key: str,
    stored: Stored,
    results: Results,
    config: Config,
    caller: Caller,
) -> Response:
    """One trial; without MLflow as far as the database knows it."""
    sweep, row = _require(stored, sweep_id, key)
    detail, unavailable = _detail(sweep_id, key, stored, results, config)
    specification = read_stored(sweep.specification)
    severities = specification.ood.severities if specification.ood else ()
    matrix = detail.ood_matrix if detail else None
    return render_page(
        "trial.html",
        sweep=sweep,
        trial=row,
        caller=caller,
        is_live=row.outcome is None and sweep.state not in TERMINAL,
        epochs=specification.training.epochs,
        configuration=_flat(
            specification.trial(
                row.optimizer, (row.learning_rate, row.weight_decay), row.seed
            ).model_dump(mode="json")
        ),
        figures=[name for name in TRIAL_FIGURES if detail and draw_trial(name, detail) is not None],
        titles=TRIAL_FIGURES,
        matrix=_shaded(matrix) if matrix else None,
        severities=severities,
        splits=SPLITS,
        traceback=detail.traceback if detail else None,
        unavailable=unavailable,
        mlflow=config.mlflow_run_url(sweep.mlflow_experiment_id, row.mlflow_run_id),
    )


@router.get("/{key}/log")
def show_log(sweep_id: str, key: str, stored: Stored, results: Results, config: Config) -> Response:
    """What a trial logged, as the API has it."""
    text = bytes(show_trial_logs(sweep_id, key, stored, results, config, _LOG_LINES).body).decode()
    return render_page(
        "_log.html", texts={"Log": text} if text else {}, empty="It has logged nothing yet."
    )


@router.get("/{key}/figures/{name}")
def show_figure(
    sweep_id: str,
    key: str,
    name: str,
    stored: Stored,
    results: Results,
    config: Config,
    picture_format: Annotated[Literal["vega-lite", "svg"], Query(alias="format")] = "vega-lite",
    theme: Theme = "light",
) -> Response:
    """A figure of one trial."""
    spec = draw_trial(name, show_trial(sweep_id, key, stored, results, config), theme)
    if spec is None:
        detail = f"trial {key[:40]} has no figure {name[:40]!r}"
        raise NotFoundProblem(detail, code="unknown-figure")
    content = json.dumps(spec).encode() if picture_format == "vega-lite" else render(spec, "svg")
    return Response(content, media_type=MEDIA_TYPES[picture_format], headers=HEADERS)


def _require(stored: Database, sweep_id: str, key: str) -> tuple[SweepRow, TrialRow]:
    """A sweep and its trial of that key.

    Raises:
        NotFoundProblem: There is none.
    """
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        trial = TrialRepository(session).get(sweep_id, key)
    if trial is None:
        raise NotFoundProblem(f"sweep {sweep_id} has no trial {key[:40]!r}", code="unknown-trial")
    return sweep, trial


def _detail(
    sweep_id: str, key: str, stored: Database, results: MlflowGateway, config: Settings
) -> tuple[TrialDetail | None, str | None]:
    """What MLflow knows of a trial, or why it cannot say."""
    try:
        return show_trial(sweep_id, key, stored, results, config), None
    except MlflowUnavailableError as error:
        log.warning(
            "trial %s of sweep %s without its curves: %s", key, sweep_id, full_message(error)
        )
        return None, str(error)


def _flat(fields: object, path: str = "") -> list[tuple[str, object]]:
    """A configuration as lines; what is not set is left out."""
    if isinstance(fields, dict):
        return [
            line
            for name, value in fields.items()
            for line in _flat(value, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(fields, list):
        return [(path, ", ".join(map(str, fields)))]
    return [] if fields is None else [(path, fields)]


def _shaded(matrix: dict[str, list[float]]) -> dict[str, list[tuple[float, str]]]:
    """Accuracies with their step of the colour scale, which reaches from 0 to the best."""
    best = max((value for values in matrix.values() for value in values), default=1.0) or 1.0
    return {
        corruption: [(value, f"v{min(int(value / best * SHADES), SHADES - 1)}") for value in values]
        for corruption, values in matrix.items()
    }


def _choices(values: Range | tuple[float, ...]) -> tuple[float, ...]:
    """What to filter by; nothing where a search may try any number."""
    return () if isinstance(values, Range) else values


def _number(text: str) -> float | None:
    """A filter's number; what is none filters nothing."""
    try:
        return float(text)
    except ValueError:
        return None
