"""Made-up trials of the paper's grid, for tests and measurements of statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.sensitivity import History, TrialResult, TrialTable
from workers.metrics import Outcome

__all__ = ["NAMES", "random_results", "random_table", "result"]

NAMES = {"SA-SAM": "sa-sam", "SAM": "sam", "SA-SGD": "sa-sgd", "MSGD": "msgd", "Adam": "adam"}
COSTS = {"SA-SAM": 3, "SAM": 2, "SA-SGD": 2, "MSGD": 1, "Adam": 1}
RATES = (1e-4, 1e-3, 1e-2, 1e-1)
DECAYS = (0.0, 1e-8, 1e-6, 1e-4)


def result(
    optimizer: str = "MSGD",
    learning_rate: float = 1e-2,
    weight_decay: float = 0.0,
    hyperparameters: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TrialResult:
    """A completed trial in the middle of the grid, or at the given hyperparameters."""
    if hyperparameters is None:
        hyperparameters = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    fields: dict[str, Any] = {
        "seed": 0,
        "outcome": Outcome.COMPLETED,
        "val_accuracy": 0.9,
        "ood_accuracy": 0.7,
    } | changes
    return TrialResult(
        key=f"{optimizer}-{hyperparameters}-{fields['seed']}",
        optimizer=optimizer,
        optimizer_name=NAMES.get(optimizer, optimizer),
        hyperparameters=hyperparameters,
        **fields,
    )


def random_results(
    optimizers: Sequence[str] = tuple(NAMES),
    rates: Sequence[float] = RATES,
    decays: Sequence[float] = DECAYS,
    seeds: Sequence[int] = (0,),
    epochs: int = 6,
    random_seed: int = 0,
) -> list[TrialResult]:
    """Trials of a full grid with everything a trial can measure."""
    rng = np.random.default_rng(random_seed)
    results = []
    for optimizer in optimizers:
        adaptive = optimizer.startswith("SA-")
        for rate in rates:
            for decay in decays:
                for seed in seeds:
                    drop = 0.02 if adaptive else 0.1
                    val = 0.92 - drop * abs(np.log10(rate) + 2) + 0.01 * rng.standard_normal()
                    ood = val - 0.2
                    trace = (100 if adaptive else 900) * np.exp(rng.standard_normal() / 4)
                    curve = [val * (1 - 0.6 ** (epoch + 1)) for epoch in range(epochs)]
                    steps = [
                        100.0 * COSTS.get(optimizer, 1) * (epoch + 1) for epoch in range(epochs)
                    ]
                    by_severity = {
                        corruption: {
                            level: ood - 0.03 * (level - 3) - shift for level in range(1, 6)
                        }
                        for corruption, shift in (("fog", 0.0), ("snow", 0.05), ("blur", -0.05))
                    }
                    results.append(
                        result(
                            optimizer,
                            learning_rate=rate,
                            weight_decay=decay,
                            seed=seed,
                            val_accuracy=val,
                            ood_accuracy=ood,
                            val_loss=1 - val,
                            ood_loss=1 - ood,
                            hessian_trace={"validation": trace * 0.9, "ood": trace},
                            hessian_trace_stderr={"validation": 3.0, "ood": 4.0},
                            hessian_lambda_max={"validation": trace / 11, "ood": trace / 10},
                            gradient_evaluations=steps[-1],
                            ood_by_corruption={
                                name: sum(levels.values()) / 5
                                for name, levels in by_severity.items()
                            },
                            ood_by_severity=by_severity,
                            history=History(
                                epoch=range(1, epochs + 1),
                                gradient_evaluations=steps,
                                val_accuracy=curve,
                                train_loss=[2.3 * 0.7**epoch for epoch in range(epochs)],
                            ),
                        )
                    )
    return results


def random_table(**options: Any) -> TrialTable:
    """The table of `random_results`."""
    return TrialTable.from_results(
        random_results(**options), chance_accuracy=0.1, workload="tiny on digits"
    )
