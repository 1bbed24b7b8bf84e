"""JSON of the audit log in the API."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

__all__ = ["AuditEntry", "AuditPage"]


class AuditEntry(BaseModel):
    """One command and its result."""

    model_config = ConfigDict(frozen=True, from_attributes=True, use_attribute_docstrings=True)

    number: int
    at: datetime
    actor: str
    """Name of the token; `local` if no token is required."""
    address: str
    command: str
    """Method and template of the path."""
    sweep_id: str | None
    status: int
    """HTTP status of the response."""
    request_id: str


class AuditPage(BaseModel):
    """Entries of the audit log, newest first."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    entries: list[AuditEntry]
    next_before: int | None
    """Pass it as `before` for the next page; absent on the last one."""
