"""HTTP endpoints of sweeps."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Response, status

from service.api.dependencies import Caller, read_text, sweep_service
from service.api.openapi import SPECIFICATION_BODY
from service.problems import ConflictProblem, NotFoundProblem, TooLargeProblem, problems
from service.states import Command, SweepState
from service.sweeps.annotations import SweepChanges
from service.sweeps.schemas import DryRunView, SweepDetail, SweepPage
from service.sweeps.selection import ARCHIVED, SweepSelection, parse_tags
from service.sweeps.service import SweepService
from workers.spec import load_spec
from workers.spec.fields import Label

__all__ = ["router"]

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

Sweeps = Annotated[SweepService, Depends(sweep_service)]

Filter = Annotated[str | None, Query(max_length=200)]

_KNOWN = problems(NotFoundProblem)
_COMMANDED = problems(NotFoundProblem, ConflictProblem)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=SPECIFICATION_BODY,
    responses={
        200: {"model": DryRunView | SweepDetail},
        **problems(ConflictProblem, TooLargeProblem),
    },
)
def submit(
    body: Annotated[str, Depends(read_text)],
    sweeps: Sweeps,
    caller: Caller,
    response: Response,
    dry_run: bool = False,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> SweepDetail | DryRunView:
    """Submit a sweep as YAML or JSON; ``dry_run`` only estimates its cost.

    A repeated submission with the same ``Idempotency-Key``, token and specification returns the
    stored sweep.
    """
    specification = load_spec(body)
    if dry_run:
        response.status_code = status.HTTP_200_OK
        return sweeps.estimate(specification, submitter=caller)
    sweep, is_new = sweeps.submit(specification, idempotency_key, submitter=caller, text=body)
    if not is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/api/v1/sweeps/{sweep.sweep_id}"
    return sweep


@router.get("", responses=problems())
def list_sweeps(
    sweeps: Sweeps,
    state: Annotated[list[SweepState] | None, Query()] = None,
    name: Label | None = None,
    q: Filter = None,
    creator: Filter = None,
    model: Filter = None,
    dataset: Filter = None,
    tag: Annotated[list[str] | None, Query(max_length=20)] = None,
    archived: Literal["no", "only", "all"] = "no",
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SweepPage:
    """Sweeps, newest first.

    ``q`` is a part of the name or the beginning of the id; ``tag`` is ``name=value``, or ``name``
    for any value. Archived sweeps are left out by default.
    """
    selection = SweepSelection(
        states=state or (),
        text=q,
        name=name,
        creator=creator,
        model=model,
        dataset=dataset,
        tags=parse_tags(tag or ()),
        archived=ARCHIVED[archived],
    )
    return sweeps.page(selection, cursor=cursor, limit=limit)


@router.get("/{sweep_id}", responses=_KNOWN)
def show(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """One sweep: state, progress, throughput, time left, specification."""
    return sweeps.get(sweep_id)


@router.patch("/{sweep_id}", responses=_COMMANDED)
def annotate(sweep_id: str, changes: SweepChanges, sweeps: Sweeps) -> SweepDetail:
    """Change name, tags or description of a sweep, or archive it; its results stay the same."""
    return sweeps.annotate(sweep_id, changes)


@router.get(
    "/{sweep_id}/specification",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {}}}, **_KNOWN},
)
def specification(sweep_id: str, sweeps: Sweeps) -> Response:
    """The specification as it was submitted, with its comments; YAML, or JSON, which is YAML."""
    return Response(sweeps.text(sweep_id), media_type="application/yaml")


@router.delete("/{sweep_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_COMMANDED)
def delete(sweep_id: str, sweeps: Sweeps) -> None:
    """Delete a sweep that has ended; its MLflow runs stay."""
    sweeps.delete(sweep_id)


@router.post(
    "/{sweep_id}/extend",
    openapi_extra=SPECIFICATION_BODY,
    responses={
        200: {"model": DryRunView | SweepDetail},
        **problems(NotFoundProblem, ConflictProblem, TooLargeProblem),
    },
)
def extend(
    sweep_id: str,
    body: Annotated[str, Depends(read_text)],
    sweeps: Sweeps,
    caller: Caller,
    dry_run: bool = False,
    force: bool = False,
) -> SweepDetail | DryRunView:
    """Add trials to a sweep: its specification with more seeds, values of axes or optimizers.

    Its trials keep their keys and results; a specification that would change one is refused. Of a
    sweep that has ended, failed and cancelled trials run again; this is refused if the code is not
    that of the trials that have ended, unless ``force`` is set. ``dry_run`` only estimates the cost
    of the new trials.
    """
    specification = load_spec(body)
    if dry_run:
        return sweeps.estimate(specification, submitter=caller, extended=sweep_id)
    return sweeps.extend(sweep_id, specification, submitter=caller, text=body, accept_changes=force)


@router.post("/{sweep_id}/pause", responses=_COMMANDED)
def pause(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """Stop the trials; ``resume`` continues them from their checkpoints."""
    return sweeps.command(sweep_id, Command.PAUSE)


@router.post("/{sweep_id}/resume", responses=_COMMANDED)
def resume(sweep_id: str, sweeps: Sweeps, force: bool = False) -> SweepDetail:
    """Queue a paused sweep again.

    Refused if the code is not that of the trials that have ended, unless ``force`` is set.
    """
    return sweeps.command(sweep_id, Command.RESUME, accept_changes=force)


@router.post("/{sweep_id}/cancel", responses=_COMMANDED)
def cancel(sweep_id: str, sweeps: Sweeps) -> SweepDetail:
    """Cancel a sweep; finished trials stay."""
    return sweeps.command(sweep_id, Command.CANCEL)


@router.post("/{sweep_id}/retry-failed", responses=_COMMANDED)
def retry_failed(sweep_id: str, sweeps: Sweeps, force: bool = False) -> SweepDetail:
    """Run the failed, cancelled and missing trials of an ended sweep.

    Refused if the code is not that of the trials that have ended, unless ``force`` is set.
    """
    return sweeps.command(sweep_id, Command.RETRY_FAILED, accept_changes=force)
