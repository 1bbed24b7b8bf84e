"""Tables of sweeps, trials, events, logs of drivers and the leader lease.

A sweep's row is the source of truth of its desired state and its progress. A trial's row is a read
model of its MLflow run and can be rebuilt from it. Events are numbered per sweep: appending one
requires the lock of the sweep's row, so numbers become visible in order and without gaps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["DriverLogRow", "EventRow", "LeaseRow", "Moment", "SweepRow", "Table", "TrialRow"]


class Moment(TypeDecorator[datetime]):
    """An aware UTC time; SQLite does not store the zone, so this stores UTC and adds the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC."""
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment with its zone."""
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON}  # noqa: RUF012


class SweepRow(Table):
    """One sweep."""

    __tablename__ = "sweeps"

    sweep_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), index=True)
    specification: Mapped[dict[str, Any]]
    submitted_text: Mapped[str | None] = mapped_column(Text, deferred=True)
    """The specification as it was submitted, with its comments; None if it is unknown."""
    tags: Mapped[dict[str, Any]] = mapped_column(nullable=True)
    """Those of the specification, until they are changed. Never null, which the column allows
    because SQLite cannot add a column without a default that is required."""
    description: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """What its users note about it."""
    archived_at: Mapped[datetime | None]
    """When it was archived, which hides it from lists; None if it is not."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None]
    """Why the sweep is in its state, or what it waits for."""
    priority: Mapped[int]
    attempt: Mapped[int]
    """Number of the current driver; 0 before the first."""
    extended_in: Mapped[int | None]
    """The attempt in which it was last extended: its driver may know fewer trials."""
    failures: Mapped[int]
    """Drivers that died since the sweep last made progress."""
    not_before: Mapped[datetime | None]
    """Earliest start of the next driver."""
    trial_count: Mapped[int]
    creator: Mapped[str | None] = mapped_column(String(64), index=True)
    """Name of the token it was submitted with, ``local`` without one; None if unknown."""
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    """Digest of the creator and of the creator's key."""
    body_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    mlflow_experiment_id: Mapped[str | None] = mapped_column(String(64))
    mlflow_run_id: Mapped[str | None] = mapped_column(String(64))
    synced_at: Mapped[datetime | None]
    """End time of the newest run that the sync has read."""
    classes: Mapped[int | None]
    """Number of classes, which gives the accuracy of chance; None until the driver recorded it."""
    data_notes: Mapped[str | None] = mapped_column(Text)
    """What makes results on the data doubtful, empty if nothing; None until it is recorded."""
    hessian_method: Mapped[str | None] = mapped_column(String(16))
    """How curvature is measured, ``exact`` or ``differences``; None if it is not, or unknown."""
    last_event: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of its newest event."""
    code_version: Mapped[str | None] = mapped_column(String(255))
    """The code that the latest driver ran."""
    accepts_changes: Mapped[bool] = mapped_column(server_default=false())
    """Whether the next driver may use other code or data than the trials that have ended."""


class TrialRow(Table):
    """One trial of a sweep."""

    __tablename__ = "trials"
    __table_args__ = (
        # Counts of trials read these indexes alone.
        Index("ix_trials_progress", "sweep_id", "outcome", "ended_at", "mlflow_run_id"),
        Index(
            "ix_trials_reused",
            *("sweep_id", "ended_at"),
            sqlite_where=text("reused_from IS NOT NULL"),
            postgresql_where=text("reused_from IS NOT NULL"),
        ),
    )

    sweep_id: Mapped[str] = mapped_column(
        ForeignKey("sweeps.sweep_id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(16), primary_key=True)
    position: Mapped[int]
    optimizer: Mapped[str] = mapped_column(String(64))
    """Its label."""
    optimizer_name: Mapped[str] = mapped_column(String(64))
    hyperparameters: Mapped[dict[str, Any]]
    """Its value of each axis of its optimizer, by name."""
    learning_rate: Mapped[float | None] = mapped_column(Double)
    """None for the optimizer's own default."""
    weight_decay: Mapped[float | None] = mapped_column(Double)
    """None for the optimizer's own default."""
    seed: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str | None] = mapped_column(String(16))
    epoch: Mapped[int]
    """Last epoch that was recorded; 0 before the first."""
    metrics: Mapped[dict[str, Any]]
    """Latest value of every metric."""
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    """Learning curves and accuracies by severity of an ended trial, stored on first use."""
    error: Mapped[str | None]
    """Last line of the traceback of a failed trial."""
    mlflow_run_id: Mapped[str | None] = mapped_column(String(64))
    attempt: Mapped[int]
    started_at: Mapped[datetime | None]
    """Start of the training; that of the original trial if it is reused."""
    ended_at: Mapped[datetime | None]
    reused_from: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """``sweep_id`` and ``run_id`` of the run of another sweep whose result it has; None if its own
    sweep computed it."""

    @property
    def status(self) -> str:
        """Its outcome; ``running`` or ``pending`` before it has one."""
        return self.outcome or ("running" if self.mlflow_run_id else "pending")


class EventRow(Table):
    """An event of a sweep."""

    __tablename__ = "events"

    sweep_id: Mapped[str] = mapped_column(
        ForeignKey("sweeps.sweep_id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    """1, 2, 3, ... within the sweep."""
    kind: Mapped[str] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class DriverLogRow(Table):
    """The end of a driver's log, kept when the cluster no longer has it."""

    __tablename__ = "driver_logs"

    sweep_id: Mapped[str] = mapped_column(
        ForeignKey("sweeps.sweep_id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class LeaseRow(Table):
    """A lease, which one process holds at a time."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(255))
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Increases whenever the holder changes; a lease of an earlier epoch was lost."""
    expires_at: Mapped[float] = mapped_column(Double)
    """Seconds since 1970, by the database's clock."""
