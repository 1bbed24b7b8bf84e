"""HTTP for sweeps."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response, status

from service.dependencies import read_text, sweep_service
from service.sweeps.lifecycle import Command, SweepState
from service.sweeps.schemas import DryRunView, SweepDetail, SweepPage
from service.sweeps.service import SweepService
from workers.spec import SweepSpec, load_spec
from workers.spec.fields import Label

__all__ = ["router"]

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

Sweeps = Annotated[SweepService, Depends(sweep_service)]

_SPECIFICATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": SweepSpec.model_json_schema()}
            for media in ("application/json", "application/yaml")
        },
    }
}


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=_SPECIFICATION,
    responses={200: {"model": DryRunView | SweepDetail}},
)
def submit(
    body: Annotated[str, Depends(read_text)],
    sweeps: Sweeps,
    response: Response,
    dry_run: bool = False,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> SweepDetail | DryRunView:
    """Submit a sweep as YAML or JSON; ``dry_run`` only says what it would cost.

    The same ``Idempotency-Key`` with the same specification answers the sweep that is there.
    """
    specification = load_spec(body)
    if dry_run:
        response.status_code = status.HTTP_200_OK
        return sweeps.estimate(specification)
    sweep, is_new = sweeps.submit(specification, idempotency_key)
    if not is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.sweep_id}"
    return sweep


@router.get("")
def list_sweeps(
    sweeps: Sweeps,
    state: Annotated[list[SweepState] | None, Query()] = None,
    name: Label | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SweepPage:
    """Sweeps, newest first."""
    return sweeps.page(states=state or [], name=name, cursor=cursor, limit=limit)


@router.get("/{sweep_id}")
def show(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """One sweep: state, progress, throughput, time left, specification."""
    return sweeps.get(sweep_id)


@router.delete("/{sweep_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete(sweep_id: str, sweeps: Sweeps) -> None:
    """Forget a sweep that has ended; its MLflow runs stay."""
    sweeps.delete(sweep_id)


@router.post("/{sweep_id}/pause")
def pause(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """Stop the trials; ``resume`` goes on from their checkpoints."""
    return sweeps.command(sweep_id, Command.PAUSE)


@router.post("/{sweep_id}/resume")
def resume(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """Queue a paused sweep again."""
    return sweeps.command(sweep_id, Command.RESUME)


@router.post("/{sweep_id}/cancel")
def cancel(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """End a sweep; what has finished stays."""
    return sweeps.command(sweep_id, Command.CANCEL)


@router.post("/{sweep_id}/retry-failed")
def retry_failed(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """Run the failed, cancelled and missing trials of an ended sweep again."""
    return sweeps.command(sweep_id, Command.RETRY_FAILED)
