"""Schemas of trials, of the API and of the client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["ReusedFrom", "TrialDetail", "TrialPage", "TrialView"]


class ReusedFrom(BaseModel):
    """The trial of another sweep, with the same key, whose result a reused trial has."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    sweep_id: str
    """The sweep that computed it."""
    run_id: str
    """Id of its run in MLflow."""


class TrialView(BaseModel):
    """A trial in a list."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    key: str
    """Identity: the hash of its configuration."""
    position: int
    optimizer: str
    hyperparameters: dict[str, JsonValue] = {}
    """Its value of each axis of its optimizer, such as `optimizer.momentum`."""
    learning_rate: float | None
    """Absent for the optimizer's own default."""
    weight_decay: float | None
    """Absent for the optimizer's own default."""
    seed: int
    status: str
    """Its outcome; ``running`` or ``pending`` before it has one."""
    epoch: int
    """Last epoch that was recorded."""
    metrics: dict[str, float]
    """Latest value of every metric."""
    scores: dict[str, float] = {}
    """The score as summaries count it, by metric: of a diverged trial, or one worse than a guess,
    that of a guess."""
    error: str | None
    started_at: datetime | None
    """Start of the training, which for a reused trial is that of the other sweep."""
    ended_at: datetime | None
    """End of the training; likewise."""
    reused_from: ReusedFrom | None = None
    """The trial whose result it has; absent if its own sweep computed it."""
    mlflow: str | None
    """Link to its run in MLflow's UI; absent before it has one."""


class TrialDetail(TrialView):
    """A trial with its configuration, its learning curves and, if it failed, its traceback."""

    configuration: dict[str, Any]
    history: dict[str, list[tuple[int, float]]]
    """(epoch, value) of every metric that is measured each epoch."""
    ood_matrix: dict[str, list[float]] | None
    """Accuracy by corruption, one entry per severity."""
    traceback: str | None


class TrialPage(BaseModel):
    """Trials in the order of the specification."""

    trials: list[TrialView]
    next_cursor: str | None
