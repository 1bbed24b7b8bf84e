"""Every number of a summary of losses, against that of accuracies on another scale.

Losses L = a (1 - accuracy) map a perfect and a guessing network to each other. A *cost* is then a
times that of accuracies, a *level* is the loss of the level, and all else is the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.sensitivity import SweepToCompare, TrialTable, compare_sweeps, summarize
from workers.metrics import Outcome
from workers.scores import SCORES

CHANCE = 0.1
SCALE = math.log(10) / (1 - CHANCE)
EPSILON = 0.01

COSTS = re.compile(
    r"epsilon|selection_regret|mean_regret(_val)?|(lr|wd)_sensitivity(_val|_wd_marginal)?"
    r"|sensitivity(_val|_marginal)?|regret|loss|too_small|too_large|std|iqr|overall"
    r"|tunability|difference|(mean|median|best)_difference|gains"
)
LEVELS = re.compile(
    r"((val|ood|oracle_ood|chance|default|mean|expected_\w+)_)?score|targets?|(lr|wd)_curve|curve|values|early|uniform"
    r"|late|one_shot|peak|median|iqm|untuned|tuned|mean"
)
SWAPPED = {
    "min": "max",
    "max": "min",
    **{f"{curve}_low": f"{curve}_high" for curve in ("median", "mean")},
    **{f"{curve}_high": f"{curve}_low" for curve in ("median", "mean")},
}
# Of accuracies or losses alone.
SKIPPED = re.compile(r".*accuracy.*|val_loss|ood_loss|calibration")
SHARES = re.compile(r"divergence_rate_interval|importance.*_intervals?|width_interval")


def loss_of(accuracy: float) -> float:
    return SCALE * (1 - accuracy)


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def compare(plain: Any, found: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Compare two dumps; yield the path of every number with its kind."""
    if isinstance(plain, dict) and plain.keys() == {"low", "high", "estimate"}:
        yield from compare_intervals(plain, found, path)
    elif isinstance(plain, dict):
        for name, value in plain.items():
            if not SKIPPED.fullmatch(name):
                ours = plain[SWAPPED[name]] if name in SWAPPED else value
                yield from compare(ours, found[name], (*path, name))
    elif isinstance(plain, list):
        assert len(plain) == len(found), path
        for ours, theirs in zip(plain, found, strict=True):
            yield from compare(ours, theirs, path)
    elif is_number(plain):
        kind = kind_of(path)
        expected = {"cost": lambda: SCALE * plain, "level": lambda: loss_of(plain)}.get(
            kind, lambda: plain
        )()
        assert found == pytest.approx(expected, abs=1e-9), path
        yield path, kind
    else:
        assert (found is None) == (plain is None), path


def compare_intervals(
    plain: dict[str, Any], found: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    assert found is not None, path
    kind = kind_of(path)
    if kind == "level":
        plain = {**plain, "low": plain["high"], "high": plain["low"]}
    for name, value in plain.items():
        if value is not None:
            expected = {"cost": SCALE * value, "level": loss_of(value)}.get(kind, value)
            assert found[name] == pytest.approx(expected, abs=1e-9), (*path, name)
            yield (*path, name), kind


def kind_of(path: tuple[str, ...]) -> str:
    """Cost, level or same, by the name of a number and of what it is of."""
    name = path[-1].removesuffix("_interval")
    if SHARES.fullmatch(path[-1]) or {"curvature_correlation", "flatness_correlation"} & {*path}:
        return "same"
    if {"importance_intervals", "interactions", "score_profile"} & {*path[:-1]}:
        return "same"
    if "axis_differences" in path:
        return "same" if path[path.index("axis_differences") + 1].endswith(".width") else "cost"
    if path[:2] == ("workloads", "optimizers"):
        return "same"  # normalised
    if name == "values" and ("axes" in path):
        return "same"  # of a hyperparameter
    if path[-2:-1] == ("local_optimality",) or "neighbours" in path:
        return "cost" if name in ("difference", "low", "high") else "same"
    if path[-2:-1] == ("tunability",) and name in ("learning_rate", "weight_decay"):
        return "cost"
    if path[-2:-1] == ("intervals",):
        return "level" if name.endswith(".mean") else "cost"
    if name in SWAPPED or path[-2:-1] == ("targets",):
        return "level"
    if COSTS.fullmatch(name):
        return "cost"
    return "level" if LEVELS.fullmatch(name) else "same"


def tables(make_table: Any, **options: Any) -> tuple[TrialTable, TrialTable]:
    """The same sweep of accuracies and of losses; some trials diverged, some below chance."""
    table = make_table(seeds=(0, 1, 2), optimizers=("SA-SAM", "MSGD", "Adam"), **options)
    results = list(table.results())
    rng = np.random.default_rng(1)
    for at in rng.choice(len(results), 20, replace=False).tolist():
        results[at] = replace(results[at], outcome=Outcome.DIVERGED)
    for at in rng.choice(len(results), 10, replace=False).tolist():
        results[at] = replace(results[at], val_accuracy=0.02, ood_accuracy=0.01)
    names = ("cifar10.1-v4", "cifar10.1-v6")
    results = [
        trial
        if trial.ood_accuracy is None
        else replace(trial, test_accuracy=dict.fromkeys(names, 0.9 * trial.ood_accuracy))
        for trial in results
    ]
    losses = [
        replace(
            trial,
            val_loss=None if trial.val_accuracy is None else loss_of(trial.val_accuracy),
            ood_loss=None if trial.ood_accuracy is None else loss_of(trial.ood_accuracy),
            test_loss={name: loss_of(value) for name, value in trial.test_accuracy.items()},
            val_accuracy=0.5,
            ood_accuracy=0.4,
            test_accuracy=dict.fromkeys(trial.test_accuracy, 0.3),
        )
        for trial in results
    ]
    return (
        TrialTable.from_results(results, chance_accuracy=CHANCE),
        TrialTable.from_results(losses, chance_accuracy=CHANCE, score=SCORES["loss"]),
    )


def as_of_losses(dump: dict[str, Any]) -> dict[str, Any]:
    """The dump with the name of the loss where metrics are keys or values."""
    for optimizer in dump["optimizers"]:
        for name in ("val", "ood"):
            if f"{name}_accuracy.mean" in optimizer["intervals"]:
                mean = optimizer["intervals"].pop(f"{name}_accuracy.mean")
                optimizer["intervals"][f"{name}_loss.mean"] = mean
        raised = optimizer["best_config"]["raised_to_chance"]
        raised[:] = [metric.replace("accuracy", "loss") for metric in raised]
        optimizer["hyperparameter_importance"]["total_variance"] *= SCALE**2
        optimizer["published"].pop("loss_sensitivity")
        optimizer["published"]["undefined"].pop("loss_sensitivity", None)
    dump["published"].pop("caveats")  # of loss sensitivity
    return dump


def test_every_number_of_losses_is_that_of_accuracies_to_scale(make_table: Any) -> None:
    accuracies, losses = tables(make_table)
    plain = as_of_losses(summarize(accuracies, epsilon=EPSILON).model_dump())
    found = summarize(losses, epsilon=EPSILON * SCALE).model_dump()
    compared = dict(compare(plain, found, ()))
    counts = {kind: list(compared.values()).count(kind) for kind in ("cost", "level", "same")}
    assert min(counts.values()) > 50
    some = {".".join(path): kind for path, kind in compared.items()}
    rate = "optimizers.axes.learning_rate"
    assert some[f"{rate}.tolerance.off_by.loss_interval.low"] == "cost"
    assert some[f"{rate}.tolerance.width_interval.estimate"] == "same"
    assert some["optimizers.test_sets.cifar10.1-v4.score_interval.low"] == "level"
    assert some["optimizers.best_config.ood_score_interval.estimate"] == "level"
    assert some["optimizers.published.tuning_curve.median_low"] == "level"
    assert some["optimizers.published.score_profile.shares"] == "same"
    assert some["published.gain_matrix.gains"] == "cost"
    assert some["comparisons.pairs.best_difference_interval.high"] == "cost"
    rate = "comparisons.pairs.axis_differences.learning_rate"
    assert some[f"{rate}.off_by.10.interval.low"] == "cost"
    assert some[f"{rate}.width.interval.low"] == "same"


@pytest.mark.slow
def test_every_number_of_compared_losses_is_that_of_accuracies_to_scale(make_table: Any) -> None:
    dumps = []
    pairs = [tables(make_table, random_seed=seed) for seed in (0, 1)]
    for at, epsilon in ((0, EPSILON), (1, EPSILON * SCALE)):
        sweeps = [
            SweepToCompare(name, name, {"name": name}, name, replace(pair[at], workload=name))
            for name, pair in zip(("a", "b"), pairs, strict=True)
        ]
        dumps.append(compare_sweeps(sweeps, epsilon=epsilon).model_dump())
    compared = {".".join(path): kind for path, kind in compare(*dumps, ())}
    assert compared["headlines.score_interval.low"] == "level"
    assert compared["headlines.lr_sensitivity"] == "cost"
    assert "workloads.mean_rank.Adam" in compared
    assert {compared[path] for path in compared if path.startswith("workloads.targets")} == {
        "level"
    }
    assert compared["workloads.optimizers.published.plane.sensitivity"] == "same"
    assert compared["workloads.optimizers.published.one_for_all.mean_regret"] == "same"
    assert compared["workloads.optimizers.published.runs.interquartile_mean"] == "same"
