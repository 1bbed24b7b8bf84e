"""HTTP endpoint of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from service.api.dependencies import services
from service.problems import problems
from service.security.schemas import AuditEntry, AuditPage

__all__ = ["router"]

router = APIRouter(tags=["operation"])

_MAX_NUMBER = 2**31 - 1


@router.get("/audit", responses=problems())
def list_audit(
    request: Request,
    before: Annotated[int | None, Query(ge=1, le=_MAX_NUMBER)] = None,
    sweep: Annotated[str | None, Query(pattern="^[0-9a-f]{1,16}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AuditPage:
    """Commands and the status of their responses, newest first; for administrators."""
    audit = services(request).audit
    rows = audit.page(before=before, sweep_id=sweep, limit=limit + 1)
    shown = rows[:limit]
    return AuditPage(
        entries=[AuditEntry.model_validate(row) for row in shown],
        next_before=shown[-1].number if len(rows) > limit else None,
    )
