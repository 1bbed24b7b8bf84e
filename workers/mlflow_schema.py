"""The vocabulary of sasam's MLflow runs: tags, artifacts, and the codec of a trial's run.

    experiment    one per sweep name
    parent run    one per sweep, ``sasam.kind`` = sweep
    child run     one per trial, ``sasam.kind`` = trial, found by its ``sasam.trial`` (the key)

The driver's delivery writes these runs; the recovery of a lost journal, the service and its repair
read them. All of them use the names of this module, and read a trial's run as a `TrialRun`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workers.metrics import Outcome
from workers.spec import Configuration, TrialConfig, Value

if TYPE_CHECKING:  # trial actors read this module; importing MLflow takes them a second
    from mlflow.entities import Run

__all__ = [
    "EPOCH",
    "RUNNING",
    "Artifact",
    "Origin",
    "RunKind",
    "Tag",
    "TrialIdentity",
    "TrialRun",
    "decode_hyperparameters",
    "decode_time",
    "fact_tag",
    "identity_tags",
    "is_finite",
    "run_filter",
    "version_tag",
]

EPOCH = "epoch"
"""The metric that counts a trial's recorded epochs."""
_FORMER_AXES = ("learning_rate", "weight_decay")
"""Axes of every trial of a release that wrote no tag for them."""
RUNNING = "RUNNING"
"""MLflow's status of a run that has not ended."""


class Tag(StrEnum):
    """Tags of runs; `fact_tag` and `version_tag` name more."""

    SWEEP = "sasam.sweep"
    """Id of the sweep; on every run."""
    KIND = "sasam.kind"
    """A `RunKind`; on every run."""
    TRIAL = "sasam.trial"
    """Key of the trial."""
    OPTIMIZER = "sasam.optimizer"
    """Label of the trial's optimizer."""
    HYPERPARAMETERS = "sasam.hyperparameters"
    """The trial's value of each axis of its optimizer, as JSON."""
    POSITION = "sasam.position"
    """The trial's position in the sweep, from 0."""
    WEIGHT_DECAY = "sasam.weight_decay"
    """Kind of the weight decay of the trial's optimizer; absent if only its package knows."""
    ATTEMPT = "sasam.attempt"
    """Number of the driver that wrote the run last, from 1."""
    OUTCOME = "sasam.outcome"
    """How the trial ended, an `Outcome`."""
    DIVERGED_EPOCH = "sasam.diverged_epoch"
    """Epoch in which the loss of a diverged trial became NaN or infinite."""
    FAILURE = "sasam.failure"
    """Kind of the failure of a failed trial."""
    ERROR = "sasam.error"
    """Exception and message of a failed trial."""
    NUMERICS = "sasam.numerics"
    """What the numbers of an ended trial depend on beside its configuration, see
    `workers.numerics`."""
    REUSED_FROM = "sasam.reused_from"
    """The run of another sweep whose result a reused trial has, an `Origin` as JSON."""
    CLASSES = "sasam.classes"
    """Number of classes of the sweep's data, which gives the accuracy of chance."""
    DATA_FINGERPRINT = "sasam.data_fingerprint"
    """Digest of the sweep's data."""
    DATA_NOTES = "sasam.data_notes"
    """What makes results on the sweep's data doubtful; empty if nothing does."""
    HESSIAN_METHOD = "sasam.hessian_method"
    """How curvature is measured, ``exact`` or ``differences``; absent if it is not."""
    PUBLISHED = "sasam.published"
    """When the sweep's summary and figures were stored as artifacts."""


class RunKind(StrEnum):
    """Kind of a run."""

    SWEEP = "sweep"
    TRIAL = "trial"


class Artifact(StrEnum):
    """File names of artifacts."""

    SPECIFICATION = "specification.json"
    TRACEBACK = "traceback.txt"
    LOG = "log.txt"
    OOD_MATRIX = "ood_matrix.json"


@dataclass(frozen=True, slots=True)
class TrialIdentity:
    """Identity of the trial that a run records.

    Args:
        position: Position in the sweep, from 0.
        optimizer: Label of the optimizer.
        optimizer_name: Name of the optimizer.
        hyperparameters: Value of each axis of the optimizer.
        learning_rate: Learning rate; None for the optimizer's own default.
        weight_decay: Weight decay; None for the optimizer's own default.
        seed: Seed.
    """

    position: int
    optimizer: str
    optimizer_name: str
    hyperparameters: Mapping[str, Value]
    learning_rate: float | None
    weight_decay: float | None
    seed: int

    @classmethod
    def of(cls, trial: TrialConfig, position: int, axes: Iterable[str]) -> TrialIdentity:
        """The identity of a trial.

        Args:
            trial: The trial.
            position: Its position in the sweep.
            axes: Names of the axes of its optimizer.
        """
        return cls(
            position=position,
            optimizer=trial.optimizer_label,
            optimizer_name=trial.optimizer.name,
            hyperparameters=trial.values_of(axes).plain(),
            learning_rate=trial.learning_rate,
            weight_decay=trial.weight_decay,
            seed=trial.seed,
        )

    @classmethod
    def decode(cls, run: Run) -> TrialIdentity | None:
        """The identity in a run; None if the run is new, or of an earlier release."""
        run_tags, params = run.data.tags, run.data.params
        configuration = decode_hyperparameters(run)
        if configuration is None:
            return None
        try:
            return cls(
                position=int(run_tags[Tag.POSITION]),
                optimizer=run_tags[Tag.OPTIMIZER],
                optimizer_name=params["optimizer.name"],
                hyperparameters=configuration.plain(),
                learning_rate=_number(params["learning_rate"]),
                weight_decay=_number(params["weight_decay"]),
                seed=int(params["seed"]),
            )
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Origin:
    """The run of another sweep whose result a reused trial has.

    Args:
        sweep_id: The other sweep.
        run_id: MLflow's id of the run.
        started_at: Start of the original trial.
        ended_at: End of the original trial.
    """

    sweep_id: str
    run_id: str
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def decode(cls, run: Run) -> Origin | None:
        """The origin of a run's result; None if its own sweep computed it."""
        text = run.data.tags.get(Tag.REUSED_FROM)
        if not text:
            return None
        plain = json.loads(text)
        started_at, ended_at = (decode_time(plain[name]) for name in ("started_ms", "ended_ms"))
        return cls(plain["sweep_id"], plain["run_id"], started_at, ended_at)

    @staticmethod
    def of(run: Run) -> dict[str, Any]:
        """The origin of results that are copied from a run, as plain data."""
        return {
            "sweep_id": run.data.tags[Tag.SWEEP],
            "run_id": run.info.run_id,
            "started_ms": run.info.start_time,
            "ended_ms": run.info.end_time,
        }


@dataclass(frozen=True, slots=True)
class TrialRun:
    """The MLflow run of a trial, decoded.

    Args:
        key: Key of the trial.
        run_id: MLflow's id of the run.
        attempt: Number of the driver that wrote it last; 0 if unknown.
        epoch: Last recorded epoch; 0 before the first.
        metrics: Latest finite value of every metric.
        started_at: Start of the trial.
        ended_at: End of the trial; None while it runs.
        outcome: How it ended; None while it runs.
        error: Exception and message of a failed trial.
        identity: Identity of the trial; None before it is recorded completely.
        origin: The run of another sweep whose result it has; None if its own sweep computed it.
            Start and end are then those of the copy.
    """

    key: str
    run_id: str
    attempt: int
    epoch: int
    metrics: Mapping[str, float]
    started_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None = None
    error: str | None = None
    identity: TrialIdentity | None = None
    origin: Origin | None = None

    @classmethod
    def decode(cls, run: Run) -> TrialRun:
        """Read a run; outcome, error and end are None while it runs."""
        run_tags = run.data.tags
        is_over = run.info.status != RUNNING
        outcome = run_tags.get(Tag.OUTCOME) if is_over else None
        metrics = {name: value for name, value in run.data.metrics.items() if is_finite(value)}
        return cls(
            key=run_tags.get(Tag.TRIAL, ""),
            run_id=run.info.run_id,
            attempt=int(run_tags.get(Tag.ATTEMPT, 0)),
            epoch=int(metrics.pop(EPOCH, 0)),
            metrics=metrics,
            started_at=decode_time(run.info.start_time),
            ended_at=decode_time(run.info.end_time) if is_over else None,
            outcome=Outcome(outcome) if outcome else None,
            error=run_tags.get(Tag.ERROR) if is_over else None,
            identity=TrialIdentity.decode(run),
            origin=Origin.decode(run),
        )


def run_filter(sweep_id: str | None = None, kind: RunKind | None = None) -> str:
    """MLflow's filter for the runs of a sweep, of a kind, or both."""
    conditions = {Tag.SWEEP: sweep_id, Tag.KIND: kind}
    return " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in conditions.items() if value)


def identity_tags(trial: TrialConfig, position: int, axes: Iterable[str]) -> dict[str, str]:
    """Tags that identify the trial of a run; the run's parameters hold all of its settings.

    Args:
        trial: The trial.
        position: Its position in the sweep.
        axes: Names of the axes of its optimizer.
    """
    tags = {
        Tag.HYPERPARAMETERS.value: json.dumps(trial.values_of(axes).plain()),
        Tag.KIND.value: RunKind.TRIAL.value,
        Tag.TRIAL.value: trial.key,
        Tag.OPTIMIZER.value: trial.optimizer_label,
        Tag.POSITION.value: str(position),
    }
    if (kind := trial.optimizer.weight_decay_kind) is not None:
        tags[Tag.WEIGHT_DECAY.value] = kind
    return tags


def decode_hyperparameters(run: Run) -> Configuration | None:
    """A trial's value of each axis; None before the run is recorded completely.

    A release without other axes has written learning rate and weight decay as parameters alone.
    """
    text, params = run.data.tags.get(Tag.HYPERPARAMETERS), run.data.params
    if "weight_decay" not in params:
        return None
    if text is not None:
        return Configuration(json.loads(text))
    return Configuration((name, _number(params[name])) for name in _FORMER_AXES)


def fact_tag(name: str) -> str:
    """Tag of a fact that preflight found, such as ``classes``."""
    return f"sasam.{name}"


def version_tag(name: str) -> str:
    """Tag of the version of a library."""
    return f"sasam.version.{name}"


def decode_time(time_ms: Any) -> datetime | None:
    """A time of MLflow, milliseconds since 1970, in UTC; None if there is none."""
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1000, UTC)


def _number(text: str) -> float | None:
    """A parameter that is a number or None."""
    return None if text == "None" else float(text)


def is_finite(value: float) -> bool:
    """Whether a metric is finite; MLflow stores an infinite one as the largest float."""
    return abs(value) < sys.float_info.max
