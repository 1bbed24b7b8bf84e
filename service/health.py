"""Signs of life."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from service.dependencies import database, mlflow_results
from service.execution.lease import leader
from service.execution.ray_jobs import RayJobs, RayUnavailableError
from service.execution.results import MlflowResults, MlflowUnavailableError
from service.storage import Database

__all__ = ["Readiness", "router"]

router = APIRouter(tags=["health"])


class Readiness(BaseModel):
    """Whether the service can do its work, and what is missing."""

    ready: bool
    checks: dict[str, str]
    """``ok`` or what is wrong, for each neighbour."""
    leader: str | None
    """The service that acts on sweeps, of all on this database; absent while none does."""


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(
    request: Request,
    response: Response,
    stored: Annotated[Database, Depends(database)],
    results: Annotated[MlflowResults, Depends(mlflow_results)],
) -> Readiness:
    """Database, Ray and MLflow answer."""
    ray: RayJobs = request.app.state.ray
    checks, leading = {}, None
    for name, check in (("database", stored.ping), ("ray", ray.version), ("mlflow", results.ping)):
        try:
            check()
        except (SQLAlchemyError, RayUnavailableError, MlflowUnavailableError) as error:
            checks[name] = str(error).splitlines()[0]
        else:
            checks[name] = "ok"
    if checks["database"] == "ok":
        with stored.snapshot() as session:
            leading = leader(session)
    ready = all(state == "ok" for state in checks.values())
    if not ready:
        response.status_code = 503
    return Readiness(ready=ready, checks=checks, leader=leading)
