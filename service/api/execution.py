"""HTTP endpoints of logs and of repair from MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.dependencies import database, driver_logs, mlflow_gateway, services, settings
from service.execution.driver_logs import MAX_LINES, DriverLogs
from service.execution.repair import Repair
from service.external.mlflow_gateway import MlflowGateway
from service.problems import NotFoundProblem, UnavailableProblem, problems
from service.settings import Settings
from service.storage import Database
from service.sweeps.schemas import RepairView
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository
from workers.characters import escape_controls
from workers.logs import read_trial_log
from workers.mlflow_schema import Artifact

__all__ = ["repairs", "router"]

router = APIRouter(tags=["execution"])

Stored = Annotated[Database, Depends(database)]
Results = Annotated[MlflowGateway, Depends(mlflow_gateway)]
Tail = Annotated[int, Query(ge=1, le=MAX_LINES)]

_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}
_MAY_FAIL = problems(NotFoundProblem, UnavailableProblem)


def repairs(request: Request) -> Repair:
    """Repairs from MLflow."""
    found = services(request)
    return Repair(found.database, found.ray, found.mlflow)


@router.get("/sweeps/{sweep_id}/logs", response_class=Response, responses=_MAY_FAIL | _TEXT)
def show_logs(
    sweep_id: str,
    stored: Stored,
    logs: Annotated[DriverLogs, Depends(driver_logs)],
    attempt: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    tail: Tail = 500,
) -> Response:
    """The ends of the logs of the sweep's drivers, each under a line with its attempt.

    The log of a running driver comes from the cluster, the others from the database.
    """
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
    if attempt is not None and attempt > sweep.attempt:
        detail = f"sweep {sweep_id} has had {sweep.attempt} drivers, there is no attempt {attempt}"
        raise NotFoundProblem(detail, code="unknown-attempt")
    attempts = range(1, sweep.attempt + 1) if attempt is None else range(attempt, attempt + 1)
    found = logs.read(sweep_id, attempts, lines=tail)
    return _sections({f"attempt {number}": text for number, text in found})


@router.get(
    "/sweeps/{sweep_id}/trials/{key}/logs", response_class=Response, responses=_MAY_FAIL | _TEXT
)
def show_trial_logs(
    sweep_id: str,
    key: str,
    stored: Stored,
    results: Results,
    config: Annotated[Settings, Depends(settings)],
    tail: Tail = 500,
) -> Response:
    """The end of a trial's log, and of its traceback if it failed.

    The log of a running trial is available if this service has access to the trials' storage.
    """
    with stored.snapshot() as session:
        require_sweep(session, sweep_id)
        trial = TrialRepository(session).get(sweep_id, key)
    if trial is None:
        raise NotFoundProblem(f"sweep {sweep_id} has no trial {key[:40]!r}", code="unknown-trial")
    folder = Path(config.resolved_scratch_path, "sweeps", sweep_id, "checkpoints", key)
    texts = {"log": read_trial_log(folder)}
    run_id = trial.mlflow_run_id
    if run_id is not None and trial.outcome is not None:
        texts["log"] = texts["log"] or results.artifact_text(run_id, Artifact.LOG) or ""
        texts["traceback"] = results.artifact_text(run_id, Artifact.TRACEBACK) or ""
    ends = {title: text.splitlines(keepends=True)[-tail:] for title, text in texts.items()}
    return _sections({title: "".join(lines) for title, lines in ends.items() if lines})


@router.post("/sweeps/{sweep_id}/repair", responses=_MAY_FAIL)
def repair_sweep(sweep_id: str, repair: Annotated[Repair, Depends(repairs)]) -> RepairView:
    """Rebuild the sweep's trials from MLflow; for administrators (``sasam repair SWEEP``)."""
    return repair.trials(sweep_id)


@router.post("/repair", responses=problems(UnavailableProblem))
def repair_all(repair: Annotated[Repair, Depends(repairs)]) -> RepairView:
    """Restore the sweeps that only MLflow has; for administrators (``sasam repair``).

    Deleted sweeps are restored too, because MLflow has no record of the deletion.
    """
    return repair.sweeps()


def _sections(texts: dict[str, str]) -> Response:
    """Texts under their titles, in the format of ``tail`` for several files.

    Control characters are escaped, because the response may be shown in a terminal.
    """
    parts = [f"==> {title} <==\n{text.rstrip()}\n" for title, text in texts.items()]
    return PlainTextResponse(escape_controls("\n".join(parts)))
