"""Shares of variance by a random forest, against the exact ones of functions on a full grid."""

from collections.abc import Callable

import numpy as np
import pytest

from service.sensitivity import Axis, TrialResult, TrialTable
from service.sensitivity.forest_anova import forest_anova
from service.sensitivity.importance import MIN_CONFIGURATIONS, ImportanceShares, importance
from service.sensitivity.scores import score
from service.sensitivity.statistics import VarianceShares, functional_anova
from workers.metrics import Outcome

LOGS = np.linspace(-4, -1, 12)
SURFACES = {
    "learning rate alone": lambda lr, wd: -((lr + 2) ** 2) + 0 * wd,
    "weight decay alone": lambda lr, wd: np.sin(2 * wd) + 0 * lr,
    "both": lambda lr, wd: -((lr + 2) ** 2) - 0.8 * (wd + 3) ** 2,
    "only together": lambda lr, wd: (lr + 2.5) * (wd + 2.5),
}


def forest(lr: np.ndarray, wd: np.ndarray, scores: np.ndarray) -> VarianceShares:
    """Shares of configurations at these learning rates and weight decays."""
    axes = [
        Axis.of("learning_rate", lr.ravel().tolist()),
        Axis.of("weight_decay", wd.ravel().tolist()),
    ]
    places = [
        [axis.values.index(value) for axis, value in zip(axes, place, strict=True)]
        for place in zip(lr.ravel().tolist(), wd.ravel().tolist(), strict=True)
    ]
    return forest_anova(axes, np.array(places), scores.ravel())


@pytest.mark.slow
@pytest.mark.parametrize("name", SURFACES)
def test_forest_anova_is_near_the_exact_shares(name: str) -> None:
    lr, wd = np.meshgrid(LOGS, LOGS, indexing="ij")
    scores = SURFACES[name](lr, wd)
    exact = functional_anova(scores.ravel(), scores.shape)
    found = forest(10**lr, 10**wd, scores)
    assert found.total == pytest.approx(exact.total)
    assert found.alone == pytest.approx(exact.alone, abs=0.12)
    assert found.interaction == pytest.approx(exact.interaction, abs=0.12)
    assert sum(found.alone) + found.interaction == pytest.approx(1)


def test_forest_anova_of_a_decay_of_zero_takes_categories() -> None:
    lr, wd = np.meshgrid(10**LOGS, [0.0, 1e-6, 1e-4], indexing="ij")
    found = forest(lr, wd, (wd == 0).astype(float))
    assert found.alone[1] == pytest.approx(1, abs=0.02)


def test_forest_anova_of_categories_and_a_linear_range() -> None:
    names, momenta = np.meshgrid(np.arange(3), np.linspace(0, 0.9, 10), indexing="ij")
    axes = [
        Axis.of("training.augmentation", ["none", "crop", "flip"]),
        Axis.of("optimizer.momentum", momenta[0].tolist(), scale="linear", is_range=True),
    ]
    places = np.indices(names.shape).reshape(2, -1).T
    found = forest_anova(axes, places, (names == 1).ravel() + momenta.ravel() / 10)
    exact = functional_anova((names == 1).ravel() + momenta.ravel() / 10, names.shape)
    assert found.alone == pytest.approx(exact.alone, abs=0.05)


def test_forest_anova_without_variance_has_no_shares() -> None:
    found = forest(10**LOGS, 10**LOGS, np.full(LOGS.size, 0.1))
    assert found.total == 0
    assert np.isnan([*found.alone, found.interaction]).all()


def test_importance_needs_enough_configurations_and_repeats_itself(
    make_result: Callable[..., TrialResult],
) -> None:
    numbers = np.random.default_rng(0).uniform(size=(MIN_CONFIGURATIONS, 3))
    rows = [
        make_result(
            learning_rate=10.0**-rate,
            weight_decay=10.0**-decay,
            val_accuracy=value,
            ood_accuracy=value,
        )
        for rate, decay, value in numbers.tolist()
    ]

    def found(rows: list[TrialResult]) -> ImportanceShares:
        (scores,) = score(TrialTable.from_results(rows, chance_accuracy=0.1, search="random"))
        return importance(scores)

    assert found(rows) == found(rows)
    assert found(rows).shares is not None
    assert found(rows[1:]).shares is None
    assert found(rows[1:]).reason == "9 configurations have a score; a forest needs 10."
    failed = [*rows[1:], make_result(outcome=Outcome.FAILED)]
    assert found(failed).shares is None
