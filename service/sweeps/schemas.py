"""Schemas of sweeps, of the API and of the client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from service.states import Command, SweepState
from workers.scores import SCORES, ScoreName

__all__ = [
    "CurvatureCostView",
    "DryRunView",
    "PrecisionView",
    "Progress",
    "RepairView",
    "SweepDetail",
    "SweepLinks",
    "SweepPage",
    "SweepView",
]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Progress(_View):
    """Progress of a sweep, in trials."""

    total: int
    completed: int = 0
    diverged: int = 0
    """Trials whose loss became NaN or infinite, which is a result."""
    pruned: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    pending: int = 0
    reused: int = 0
    """Ended trials whose results another sweep computed; they count under their outcomes, too."""
    trials_per_minute: float | None = None
    seconds_left: float | None = None

    @property
    def ended(self) -> int:
        """Trials that have ended, with any outcome."""
        return self.completed + self.diverged + self.pruned + self.failed + self.cancelled


class SweepLinks(_View):
    """Links of a sweep."""

    page: str
    summary: str
    trials: str
    mlflow: str | None
    """The sweep's run in MLflow's UI; absent until its driver has created it."""


class SweepView(_View):
    """A sweep in a list."""

    sweep_id: str
    name: str
    state: SweepState
    reason: str | None
    """Why it is in its state, or what it waits for."""
    needs_force: bool = False
    """Whether it continues only by a command with ``force``: its code or its data have changed."""
    priority: int
    score: ScoreName = "accuracy"
    """What ranks configurations."""
    creator: str | None = None
    """Name of the token it was submitted with, `local` without one; absent if unknown."""
    attempt: int
    """Drivers started so far."""
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    commands: list[Command]
    """Commands that it accepts in its state."""
    tags: dict[str, str]
    """Those of the specification, until they are changed."""
    is_archived: bool = False
    """Whether lists leave it out."""
    links: SweepLinks


class SweepDetail(SweepView):
    """A sweep with its specification."""

    specification: dict[str, Any]
    description: str = ""
    """What its users note about it."""
    last_event: int = 0
    """Number of its newest event: a reader of events who knows the state starts after it."""
    notes: list[str] = []
    """What a reader should know about its data and its curvature, as its driver found; empty before
    the driver has recorded it."""
    code_version: str | None = None
    """Release and commit of the code of its first trials; absent before its driver has recorded
    it."""
    hessian_method: str | None = None
    """How curvature is measured: `exact`, or by `differences` of gradients; absent if it is not
    measured, or not known yet."""


class SweepPage(_View):
    """Newest sweeps first."""

    sweeps: list[SweepView]
    next_cursor: str | None
    """The ``cursor`` of the next page; absent on the last page."""


class CurvatureCostView(_View):
    """Cost of measuring one quantity of curvature in one trial."""

    quantity: str
    """Its name in ``curvature.metrics``."""
    measurements: int
    """How often a completed trial measures it."""
    images: int
    """Number of images that each evaluation and pass takes."""
    gradient_evaluations: int
    """Gradient evaluations of a measurement, at most; a Hessian-vector product counts as two."""
    forward_passes: int
    """Forward passes of a measurement without a gradient."""


class PrecisionView(_View):
    """Expected precision of the difference of two configurations, half of its 95 % interval."""

    score: ScoreName = "accuracy"
    """What it is a precision of."""
    seed_deviation: float
    """Assumed standard deviation of the score over seeds."""
    half_width: float | None
    """With the seeds of the sweep; absent with one seed, which gives no interval."""
    seeds_for: dict[str, int]
    """Seeds that a half-width needs, by half-width: ``0.005`` is half a point of accuracy."""

    @property
    def sentence(self) -> str:
        """The precision in words, and the seeds that more of it needs."""
        score, half = SCORES[self.score], self.half_width
        own = "no interval with one seed" if half is None else f"± {score.points(half)}"
        needed = ", ".join(
            f"± {score.points(float(wanted))} needs {seeds} seeds"
            for wanted, seeds in self.seeds_for.items()
        )
        deviation = score.points(self.seed_deviation)
        return (
            f"of the difference of two configurations: {own}; {needed} (assumed deviation of seeds:"
            f" {deviation})"
        )


class DryRunView(_View):
    """Estimated cost of a sweep."""

    trials: int
    new_trials: int | None = None
    """Trials that an extension adds, to which the costs apply; absent for a new sweep."""
    reusable_trials: int | None = None
    """Trials among them that another sweep has computed, which are reused where code, libraries,
    device and data are the same; the costs include them. Absent without ``reuse``."""
    configurations: dict[str, int] = {}
    """Number of configurations of each optimizer, by its label; each runs with every seed."""
    gradient_evaluations: int | None
    """Gradient evaluations of all trials; absent if the size of the training set is unknown."""
    device_seconds: float | None
    """Estimated from past trials of the same model and data set; absent if there are none."""
    wall_clock_seconds: float | None = None
    """The same with as many trials at the same time as these past trials; absent likewise."""
    curvature: list[CurvatureCostView] = []
    """Cost of measuring curvature, which ``gradient_evaluations`` does not include."""
    precision: PrecisionView | None = None
    specification: dict[str, Any]
    """The specification with its defaults."""


class RepairView(_View):
    """Result of a repair from MLflow."""

    sweeps: list[str]
    """Ids of the sweeps whose trials were rebuilt."""
    trials: int
    """Number of their trials that MLflow has."""
    problems: list[str] = []
    """Why a sweep could not be restored."""
