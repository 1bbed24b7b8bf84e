"""Tables of the report on what the paper's experiment costs, from counts and published speeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from service.ui.labels import duration
from study.parts import PARTS
from study.records import CostRecord, PartRecord
from study.text import table

__all__ = ["cost_facts"]

# Operations per second of one A100 with mixed precision, from times and operations in the README of
# KellerJordan/cifar10-airbench: standard ResNet-18 training, and airbench96.py.
_SPEEDS = {"usual": 32.3e15 / 420.0, "tuned": 4.9e15 / 34.7}

_FORWARD_SHARE = 1 / 3
"""Of the operations of a forward and a backward pass."""


def cost_facts(
    costs: Sequence[CostRecord], records: Mapping[str, PartRecord]
) -> dict[str, Iterable[str]]:
    """The lines of each place of the template."""
    hours = [sum(map(_operations, costs)) / speed / 3600 for speed in _SPEEDS.values()]
    return {
        "costs": _costs(costs),
        "total_evaluations": [f"{sum(cost.gradient_evaluations for cost in costs) / 1e6:.1f}"],
        "total_hours": [" to ".join(f"{hour:.0f}" for hour in sorted(hours))],
        "throughput": _throughput(records),
    }


def _costs(costs: Sequence[CostRecord]) -> Iterator[str]:
    rows = [
        [
            cost.title,
            str(cost.trials),
            f"{cost.gradient_evaluations / 1e6:.1f} million",
            f"{cost.gradient_evaluations * cost.batch_size / 1e9:.2f} billion",
            f"{cost.training_flops_per_image / 1e9:.2f} GFLOP",
            f"{_operations(cost) / 1e18:.1f} EFLOP",
            *(f"{_operations(cost) / speed / 3600:.0f} h" for speed in _SPEEDS.values()),
        ]
        for cost in costs
    ]
    heads = ["network", "trials", "gradient evaluations", "images in them", "per image", "in all"]
    speeds = (f"A100 at {speed / 1e12:.0f} TFLOP/s" for speed in _SPEEDS.values())
    return table([*heads, *speeds], rows)


def _throughput(records: Mapping[str, PartRecord]) -> Iterator[str]:
    rows = []
    for part in PARTS:
        record = records.get(part.name)
        if record is None or not record.is_complete or not record.run.gradient_evaluations:
            continue
        evaluations, seconds = record.run.gradient_evaluations, record.run.trial_seconds
        rows.append(
            [
                part.title,
                f"{evaluations:,}",
                duration(seconds),
                f"{1000 * seconds / evaluations:.0f} ms",
            ]
        )
    return table(["part", "gradient evaluations", "sum over trials", "per evaluation"], rows)


def _operations(cost: CostRecord) -> float:
    """Operations of training, evaluation and curvature."""
    images = (
        cost.gradient_evaluations * cost.batch_size
        + cost.curvature_gradient_evaluations * cost.curvature_images
        + _FORWARD_SHARE * cost.evaluation_images
    )
    return cost.training_flops_per_image * images
