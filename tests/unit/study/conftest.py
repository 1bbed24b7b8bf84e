"""Records of made-up parts, with every number that the report reads."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pytest

from study.records import (
    Best,
    EqualCompute,
    Estimate,
    OptimizerRecord,
    PairRecord,
    PartRecord,
    RunRecord,
    TrialRecord,
)

RATES = (1e-3, 1e-2, 1e-1)
DECAYS = (0.0, 1e-4)
SEEDS = (0, 1, 2)
TITLES = {"sa-sam": "SA-SAM", "sam": "SAM", "sa-sgd": "SA-SGD", "msgd": "MSGD", "adam": "Adam"}
NAMES = (
    *("best", "mean", "learning_rate.sensitivity", "learning_rate.off_by.10"),
    *("learning_rate.width", "weight_decay.sensitivity"),
)
COSTS = ("sensitivity", "off_by.10")

SPECIFICATION = """
name: made-up
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-3, 1e-2, 1e-1], weight_decay: [0, 1e-4]}
seeds: [0, 1, 2]
training: {epochs: 7}
"""

MakeRecord = Callable[..., PartRecord]


@pytest.fixture
def make_record() -> MakeRecord:
    return record


def record(
    *,
    lead: float = 0.05,
    traces: Mapping[str, float] | None = None,
    accuracy_at: Callable[[str, float, int], float] = lambda label, rate, seed: 0.8,
    **changes: Any,
) -> PartRecord:
    """A part in which SA-SAM leads every difference by ``lead``, give or take 0.01.

    Args:
        lead: Of scores in its favour; negative: it trails.
        traces: Curvature by optimizer; 10 for SA-SAM and 100 for the others if absent.
        accuracy_at: OOD accuracy of a trial by optimizer, learning rate and seed.
        changes: Of the fields of the record.
    """
    known = traces or {label: 10.0 if label == "sa-sam" else 100.0 for label in TITLES}
    pairs = [_pair(label, lead) for label in TITLES if label != "sa-sam"]
    fields: dict[str, Any] = {
        "part": "digits",
        "specification": SPECIFICATION,
        "workload": "tiny CNN on digits",
        "chance_accuracy": 0.1,
        "learning_rates": list(RATES),
        "weight_decays": list(DECAYS),
        "n_seeds": len(SEEDS),
        "planned_trials": 90,
        "finished_trials": 90,
        "run": RunRecord(
            code_version="0.1.0 (abc)",
            machine="2 cores",
            conditions="idle",
            wall_seconds=100.0,
            trial_seconds=150.0,
            gradient_evaluations=1000,
        ),
        "optimizers": [_optimizer(label) for label in TITLES],
        "pairs": pairs,
        "equal_compute": EqualCompute(
            gradient_evaluations=100.0, best={label: best() for label in TITLES}, pairs=pairs
        ),
        "trials": [
            TrialRecord(
                optimizer=label,
                learning_rate=rate,
                weight_decay=decay,
                seed=seed,
                outcome="completed",
                val_accuracy=0.9,
                ood_accuracy=accuracy_at(label, rate, seed),
                hessian_trace=known[label] * (1 + seed / 100),
                hessian_lambda_max=known[label] / 10 * (1 + seed / 100),
                seconds=2.0,
            )
            for label, rate, decay, seed in product(TITLES, RATES, DECAYS, SEEDS)
        ],
    }
    return PartRecord(**(fields | changes))


def best(rate: float = 1e-2) -> Best:
    return Best(
        learning_rate=rate,
        weight_decay=0.0,
        learning_rate_on_edge=False,
        val_accuracy=around(0.9),
        ood_accuracy=around(0.8),
    )


def around(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.01, high=value + 0.01)


def _optimizer(label: str) -> OptimizerRecord:
    return OptimizerRecord(
        label=label,
        title=TITLES[label],
        evaluations_per_step=1,
        diverged_trials=0,
        best=best(),
        mean_ood_accuracy=around(0.7),
        near_best_share=0.5,
        lr_curve=[0.6, 0.8, 0.7],
        lr_sensitivity=around(0.1),
        off_by={factor: around(0.05) for factor in ("2", "4", "10")},
        width=around(1.5),
        width_is_lower_bound=False,
        wd_sensitivity=around(0.02),
    )


def _pair(label: str, lead: float) -> PairRecord:
    """SA-SAM less another optimizer: of costs the lead is negative."""
    return PairRecord(
        a="sa-sam",
        b=label,
        differences={name: around(-lead if name.endswith(COSTS) else lead) for name in NAMES},
    )
