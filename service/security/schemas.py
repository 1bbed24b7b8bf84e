"""What the API says of the audit log."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

__all__ = ["AuditEntry", "AuditPage"]


class AuditEntry(BaseModel):
    """One command and what became of it."""

    model_config = ConfigDict(frozen=True, from_attributes=True, use_attribute_docstrings=True)

    number: int
    at: datetime
    actor: str
    """Name of the token; `local` where none is asked for."""
    address: str
    command: str
    """Method and template of the path."""
    sweep_id: str | None
    status: int
    """HTTP status of the answer."""
    request_id: str


class AuditPage(BaseModel):
    """Newest entries first."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    entries: list[AuditEntry]
    next_before: int | None
    """Pass it as `before` for the next page; absent on the last one."""
