"""HTTP endpoints of the trials of a sweep."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Annotated, BinaryIO, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from service.api.dependencies import database, mlflow_gateway, settings
from service.external.mlflow_gateway import MlflowGateway
from service.problems import NotFoundProblem, UnavailableProblem, problems
from service.settings import Settings
from service.storage import Database, SweepRow, TrialRow
from service.sweeps.service import require_sweep
from service.trials.conditions import parse_conditions
from service.trials.repository import TrialRepository
from service.trials.schemas import TrialDetail, TrialPage, TrialView
from service.trials.scores import counted_scores
from workers.durable_storage import Stored, checkpoint_path, reading
from workers.metrics import CURVATURE_CURVES, METRICS
from workers.mlflow_schema import Artifact
from workers.spec import Value, read_stored, stored_score
from workers.spec.narrowing import narrowed
from workers.spec.writing import yaml_text

__all__ = ["router", "stored_trial", "trial_checkpoint"]

log = logging.getLogger(__name__)

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["trials"])

_KNOWN = problems(NotFoundProblem)

_CURSOR = r"^(-1|[0-9]{1,9})([.][0-9a-z]{0,16})?$"
"""Position and key of the last trial of a page."""

Status = Literal["pending", "running", "completed", "diverged", "pruned", "failed", "cancelled"]
Conditions = Annotated[
    list[Annotated[str, Query(max_length=500)]],
    Query(
        description="Only trials with this value of a hyperparameter, as `axis=value`; repeatable.",
        examples=[["optimizer.momentum=0.9"]],
        max_length=50,
    ),
]


@router.get("/trials", responses=_KNOWN)
def list_trials(
    sweep_id: str,
    stored: Annotated[Database, Depends(database)],
    config: Annotated[Settings, Depends(settings)],
    status: Status | None = None,
    at: Conditions = [],  # noqa: B006 - FastAPI copies it
    cursor: Annotated[str, Query(pattern=_CURSOR)] = "-1",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> TrialPage:
    """Trials in the order of the specification."""
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        rows = TrialRepository(session).of_sweep(
            sweep_id,
            outcome=status,
            hyperparameters=_conditions(at, sweep),
            after=_place(cursor),
            limit=limit + 1,
        )
    shown = rows[:limit]
    return TrialPage(
        trials=[TrialView(**_fields(row, sweep, config)) for row in shown],
        next_cursor=f"{shown[-1].position}.{shown[-1].key}" if len(rows) > limit else None,
    )


@router.get(
    "/trials.csv",
    response_class=Response,
    responses=_KNOWN | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_trials(
    sweep_id: str,
    stored: Annotated[Database, Depends(database)],
    at: Conditions = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """All trials as CSV, one row per trial, one column per hyperparameter and metric.

    Lists are written as JSON; ``reused_from`` is the id of the sweep that computed a reused trial.
    """
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        rows = TrialRepository(session).of_sweep(sweep_id, hyperparameters=_conditions(at, sweep))
    axes = dict.fromkeys(name for row in rows for name in row.hyperparameters)
    others = [name for name in axes if name not in _COLUMNS]
    metrics = sorted({name for row in rows for name in row.metrics})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *others, "status", "reused_from", *metrics])
    for row in rows:
        values = [getattr(row, column) for column in _COLUMNS]
        values += [_csv_value(row.hyperparameters.get(name)) for name in others]
        values += [row.status, (row.reused_from or {}).get("sweep_id")]
        writer.writerow([*values, *(row.metrics.get(name) for name in metrics)])
    name = f'attachment; filename="{sweep_id}-trials.csv"'
    return Response(text.getvalue(), media_type="text/csv", headers={"Content-Disposition": name})


@router.get(
    "/trials/{key}/specification",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {}}}, **_KNOWN},
)
def show_trial_specification(
    sweep_id: str, key: str, stored: Annotated[Database, Depends(database)]
) -> Response:
    """A specification whose only trial is this one, with the same key: to run it again."""
    sweep, row = stored_trial(stored, sweep_id, key)
    specification = read_stored(sweep.specification)
    plain = narrowed(specification, row.optimizer, row.hyperparameters, [row.seed])
    code = f", run with {sweep.code_version}" if sweep.code_version else ""
    text = yaml_text(plain, f"Trial {key} of sweep {sweep_id}{code}.")
    return Response(text, media_type="application/yaml")


@router.get(
    "/trials/{key}/checkpoint",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        **problems(NotFoundProblem, UnavailableProblem),
    },
)
def show_checkpoint(
    sweep_id: str,
    key: str,
    stored: Annotated[Database, Depends(database)],
    config: Annotated[Settings, Depends(settings)],
) -> Response:
    """The last checkpoint of a trial, a file of ``torch.save``; needs the role `submit`.

    That of a reused trial is the checkpoint of the sweep that trained it.
    """
    path = trial_checkpoint(stored_trial(stored, sweep_id, key)[1], config)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(reading(path))
        except FileNotFoundError:
            detail = (
                f"trial {key} has no checkpoint here: none was saved yet, it was pruned, or this "
                "service has no access to the storage of the trials"
            )
            raise NotFoundProblem(detail, code="no-checkpoint") from None
        except OSError as error:
            log.warning("checkpoint %s cannot be read: %s", path, error)
            detail = "the storage of checkpoints does not answer; try again"
            raise UnavailableProblem(detail, code="storage-unavailable") from error
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{key}.pt"',
        }
        content = _parts(file, stack.pop_all())
    return StreamingResponse(content, 200, headers, "application/octet-stream")


@router.get("/trials/{key}", responses=_KNOWN | problems(UnavailableProblem))
def show_trial(
    sweep_id: str,
    key: str,
    stored: Annotated[Database, Depends(database)],
    results: Annotated[MlflowGateway, Depends(mlflow_gateway)],
    config: Annotated[Settings, Depends(settings)],
) -> TrialDetail:
    """One trial: configuration, learning curves, outcome, traceback."""
    sweep, row = stored_trial(stored, sweep_id, key)
    specification = read_stored(sweep.specification)
    trial = specification.trial(row.optimizer, row.hyperparameters, row.seed)
    run_id = row.mlflow_run_id
    curves = [
        name for name, metric in METRICS.items() if metric.when == "epoch" and name != "epoch"
    ]
    curves += [name for name in CURVATURE_CURVES if name in row.metrics and name not in curves]
    history = {name: results.history(run_id, name) for name in curves} if run_id else {}
    matrix = results.artifact_text(run_id, Artifact.OOD_MATRIX) if run_id and row.outcome else None
    traceback = results.artifact_text(run_id, Artifact.TRACEBACK) if run_id and row.error else None
    return TrialDetail(
        configuration=trial.model_dump(mode="json"),
        history={name: values for name, values in history.items() if values},
        ood_matrix=json.loads(matrix) if matrix else None,
        traceback=traceback,
        **_fields(row, sweep, config),
    )


def stored_trial(database: Database, sweep_id: str, key: str) -> tuple[SweepRow, TrialRow]:
    """The rows of a sweep and of one of its trials.

    Raises:
        NotFoundProblem: There is no such sweep or trial.
    """
    with database.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        row = TrialRepository(session).get(sweep_id, key)
    if row is None:
        raise NotFoundProblem(f"sweep {sweep_id} has no trial {key[:40]!r}", code="unknown-trial")
    return sweep, row


def trial_checkpoint(row: TrialRow, config: Settings) -> Stored:
    """Where the checkpoint of a trial is stored; of a reused one, that of the original trial."""
    trained_by = (row.reused_from or {}).get("sweep_id", row.sweep_id)
    return checkpoint_path(config.resolved_storage_path, trained_by, row.key)


_COLUMNS = ("key", "optimizer", "learning_rate", "weight_decay", "seed", "epoch")


_VIEWED = (
    *(*_COLUMNS, "position", "hyperparameters", "status", "metrics", "error"),
    "reused_from",
)
_TIMES = ("started_at", "ended_at")
_PART_BYTES = 2**20
_BEHIND_ALL_KEYS = "g"  # keys are hexadecimal


def _place(cursor: str) -> tuple[int, str]:
    """Position and key in a cursor; one without a key is behind all trials of its position."""
    position, _, key = cursor.partition(".")
    return int(position), key or _BEHIND_ALL_KEYS


def _parts(file: BinaryIO, opened: ExitStack) -> Iterator[bytes]:
    """The content of an open file in parts; it is closed afterwards, also without a reader."""
    with opened:
        while part := file.read(_PART_BYTES):
            yield part


def _conditions(texts: list[str], sweep: SweepRow) -> Mapping[str, Value]:
    """Values of axes that are asked for."""
    return parse_conditions(texts, read_stored(sweep.specification)) if texts else {}


def _csv_value(value: object) -> object:
    """A value in a cell: a list as JSON."""
    return json.dumps(value) if isinstance(value, list | bool) else value


def _fields(row: TrialRow, sweep: SweepRow, config: Settings) -> dict[str, object]:
    fields = {column: getattr(row, column) for column in (*_VIEWED, *_TIMES)}
    fields["scores"] = counted_scores(row, stored_score(sweep.specification), sweep.classes)
    return fields | {"mlflow": config.mlflow_run_url(sweep.mlflow_experiment_id, row.mlflow_run_id)}
