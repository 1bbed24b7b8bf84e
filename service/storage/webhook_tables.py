"""Table of webhook deliveries: message, receiver, and attempts to deliver it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.tables import Table

__all__ = ["DeliveryRow"]


class DeliveryRow(Table):
    """One message to one receiver."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("sweep_id", "ended_at", "url", name="uq_webhook_deliveries_end"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    sweep_id: Mapped[str] = mapped_column(String(16))
    ended_at: Mapped[datetime]
    """Which end of the sweep: a retried sweep ends again."""
    url: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    """JSON, as it is signed and sent."""
    attempts: Mapped[int]
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """Time of the next attempt; None once it was delivered or given up."""
    delivered_at: Mapped[datetime | None]
    error: Mapped[str | None]
    """Why the last attempt failed."""
