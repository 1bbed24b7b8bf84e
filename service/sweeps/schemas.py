"""What the API says of sweeps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.states import Command, SweepState

__all__ = ["DryRunView", "Progress", "SweepDetail", "SweepLinks", "SweepPage", "SweepView"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Progress(_View):
    """How far a sweep is, in trials."""

    total: int
    completed: int = 0
    diverged: int = 0
    """Ended by a loss that is not finite: a result."""
    pruned: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    pending: int = 0
    trials_per_minute: float | None = None
    seconds_left: float | None = None

    @property
    def ended(self) -> int:
        """Trials that have ended, however they did."""
        return self.completed + self.diverged + self.pruned + self.failed + self.cancelled


class SweepLinks(_View):
    """Where to go from a sweep."""

    page: str
    summary: str
    trials: str
    mlflow: str | None
    """The sweep's run in MLflow's page; absent until its driver has made it."""


class SweepView(_View):
    """A sweep in a list."""

    sweep_id: str
    name: str
    state: SweepState
    reason: str | None
    """Why it is in its state, or what it waits for."""
    priority: int
    creator: str | None = None
    """Name of the token it was submitted with, `local` without one; absent if unknown."""
    attempt: int
    """Drivers started so far."""
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    commands: list[Command]
    """What can be asked of it now."""
    tags: dict[str, str]
    links: SweepLinks


class SweepDetail(SweepView):
    """A sweep with its specification."""

    specification: dict[str, Any]
    last_event: int = 0
    """Number of its newest event: a reader of events who knows the state starts behind it."""


class SweepPage(_View):
    """Newest sweeps first."""

    sweeps: list[SweepView]
    next_cursor: str | None
    """Pass it as ``cursor`` for the next page; absent on the last one."""


class DryRunView(_View):
    """What a sweep would cost."""

    trials: int
    gradient_evaluations: int | None
    """Of all trials; unknown where the size of the training set is."""
    device_seconds: float | None
    """Estimated from past trials of the same model and data set; absent without any."""
    specification: dict[str, Any]
    """The specification with its defaults."""
