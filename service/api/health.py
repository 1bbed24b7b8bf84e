"""HTTP endpoints for liveness and readiness."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from service.api.dependencies import services
from service.observation.readiness import Readiness

__all__ = ["router"]

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response) -> Readiness:
    """Whether database, Ray and MLflow answer, and a service acts on sweeps."""
    watch = services(request).readiness
    found = watch.latest()
    if not found.ready:
        response.status_code = 503
    return found
