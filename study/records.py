"""Records: the numbers of one part of the study, as small JSON files beside the report.

A record holds what the service's summaries say about a sweep, reduced to what the report reads, and
one row per trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Best",
    "CostRecord",
    "EqualCompute",
    "Estimate",
    "OptimizerRecord",
    "PairRecord",
    "PartRecord",
    "RunRecord",
    "TrialRecord",
    "read_costs",
    "read_records",
    "record_path",
    "write_record",
]


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Estimate(_Record):
    """A number with its 95 % interval; None where it is undefined or has none."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def negated(self) -> Estimate:
        """The number with the opposite sign."""
        flipped = [None if end is None else -end for end in (self.value, self.high, self.low)]
        return Estimate(value=flipped[0], low=flipped[1], high=flipped[2])

    def shifted(self, by: float) -> Estimate:
        """The number and its interval with a constant added."""
        moved = [None if end is None else end + by for end in (self.value, self.low, self.high)]
        return Estimate(value=moved[0], low=moved[1], high=moved[2])


class TrialRecord(NamedTuple):
    """One trial, a list in JSON; scores as summaries count them, curvature on OOD images."""

    optimizer: str
    learning_rate: float
    weight_decay: float
    seed: int
    outcome: str
    val_accuracy: float | None
    ood_accuracy: float | None
    hessian_trace: float | None
    hessian_lambda_max: float | None
    seconds: float | None


class Best(_Record):
    """The configuration that validation selects."""

    learning_rate: float
    weight_decay: float
    learning_rate_on_edge: bool
    val_accuracy: Estimate
    ood_accuracy: Estimate


class OptimizerRecord(_Record):
    """One optimizer of a sweep."""

    label: str
    title: str
    evaluations_per_step: float
    diverged_trials: int
    best: Best
    mean_ood_accuracy: Estimate
    near_best_share: float
    """Share of configurations within 1 point of the best of all optimizers."""
    lr_curve: list[float | None]
    lr_sensitivity: Estimate
    off_by: dict[str, Estimate]
    """S(k) by k."""
    width: Estimate
    width_is_lower_bound: bool
    wd_sensitivity: Estimate


class PairRecord(_Record):
    """Differences of two optimizers, ``a`` less ``b``, by the name of the number."""

    a: str
    b: str
    differences: dict[str, Estimate]


class EqualCompute(_Record):
    """Every trial cut at the same gradient evaluations; validation accuracy only."""

    gradient_evaluations: float
    best: dict[str, Best]
    pairs: list[PairRecord]


class RunRecord(_Record):
    """How the part was run."""

    code_version: str
    machine: str
    conditions: str
    wall_seconds: float | None
    """From the first start to the end, with interruptions; None if the sweep has not ended."""
    trial_seconds: float
    """Sum over trials."""
    gradient_evaluations: int | None
    """Planned."""


class PartRecord(_Record):
    """One part of the study."""

    part: str
    specification: str
    workload: str
    chance_accuracy: float
    learning_rates: list[float]
    weight_decays: list[float]
    n_seeds: int
    planned_trials: int
    finished_trials: int
    run: RunRecord
    optimizers: list[OptimizerRecord]
    pairs: list[PairRecord]
    equal_compute: EqualCompute | None
    trials: list[TrialRecord]

    @property
    def is_complete(self) -> bool:
        """Whether every planned trial has a result."""
        return self.finished_trials == self.planned_trials

    def optimizer(self, label: str) -> OptimizerRecord:
        """The record of one optimizer.

        Raises:
            KeyError: The part has no such optimizer.
        """
        for found in self.optimizers:
            if found.label == label:
                return found
        raise KeyError(label)

    def difference(self, a: str, b: str, name: str) -> Estimate:
        """A difference of two optimizers, ``a`` less ``b``; undefined if it was not recorded."""
        return _difference(self.pairs, a, b, name)

    def difference_at_equal_compute(self, a: str, b: str, name: str) -> Estimate:
        """The same with every trial cut at equal gradient evaluations."""
        return _difference(self.equal_compute.pairs if self.equal_compute else [], a, b, name)


class CostRecord(_Record):
    """Cost of one preset of the full experiment."""

    preset: str
    title: str
    trials: int
    gradient_evaluations: int
    batch_size: int
    training_flops_per_image: float
    """Floating-point operations of a forward and a backward pass."""
    evaluation_images: int
    """Images of all evaluations of all trials, forward passes only."""
    curvature_gradient_evaluations: int
    """At most, each on ``curvature_images`` images; a Hessian-vector product counts as two."""
    curvature_images: int


def record_path(folder: Path, part: str) -> Path:
    """The file of a part's record in the folder of the records."""
    return folder / f"{part}.json"


def read_records(folder: Path, parts: Iterable[str]) -> dict[str, PartRecord]:
    """The records that a folder has of some parts, by their names."""
    paths = {part: record_path(folder, part) for part in parts}
    return {
        part: PartRecord.model_validate_json(path.read_bytes())
        for part, path in paths.items()
        if path.exists()
    }


def read_costs(folder: Path) -> list[CostRecord]:
    """The costs of the presets, by name."""
    return [
        CostRecord.model_validate_json(path.read_bytes())
        for path in sorted(folder.glob("cost-*.json"))
    ]


def write_record(record: _Record, path: Path) -> None:
    """Write a record as JSON, one line per entry, so that a difference between two is readable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_lines(record.model_dump(mode="json"))) + "\n")


def _lines(record: dict[str, object]) -> Iterator[str]:
    """The lines of a JSON object: one per key, and per item of a list of objects or lists."""
    yield "{"
    last = len(record) - 1
    for at, (key, value) in enumerate(record.items()):
        comma = "," if at < last else ""
        if isinstance(value, list) and value and isinstance(value[0], dict | list):
            yield f"{json.dumps(key)}: ["
            rows = [json.dumps(item, ensure_ascii=False) for item in value]
            yield ",\n".join(rows)
            yield f"]{comma}"
        else:
            yield f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}{comma}"
    yield "}"


def _difference(pairs: list[PairRecord], a: str, b: str, name: str) -> Estimate:
    for pair in pairs:
        if (pair.a, pair.b) == (a, b):
            return pair.differences.get(name, Estimate(value=None))
        if (pair.a, pair.b) == (b, a):
            return pair.differences.get(name, Estimate(value=None)).negated()
    return Estimate(value=None)
