"""Shares of variance by a random forest, against the exact ones of functions on a full grid."""

from collections.abc import Callable

import numpy as np
import pytest

from service.sensitivity import TrialResult, TrialTable
from service.sensitivity.forest_anova import forest_anova
from service.sensitivity.importance import MIN_CONFIGURATIONS, importance
from service.sensitivity.scores import score
from service.sensitivity.statistics import functional_anova
from workers.metrics import Outcome

LOGS = np.linspace(-4, -1, 12)
SURFACES = {
    "learning rate alone": lambda lr, wd: -((lr + 2) ** 2) + 0 * wd,
    "weight decay alone": lambda lr, wd: np.sin(2 * wd) + 0 * lr,
    "both": lambda lr, wd: -((lr + 2) ** 2) - 0.8 * (wd + 3) ** 2,
    "only together": lambda lr, wd: (lr + 2.5) * (wd + 2.5),
}


@pytest.mark.parametrize("name", SURFACES)
def test_forest_anova_is_near_the_exact_shares(name: str) -> None:
    lr, wd = np.meshgrid(LOGS, LOGS, indexing="ij")
    scores = SURFACES[name](lr, wd)
    exact = functional_anova(scores)
    found = forest_anova(10 ** lr.ravel(), 10 ** wd.ravel(), scores.ravel())
    assert found["total_variance"] == pytest.approx(exact["total_variance"])
    for share in ("learning_rate", "weight_decay", "interaction"):
        assert found[share] == pytest.approx(exact[share], abs=0.12)
    assert sum(found.values()) - found["total_variance"] == pytest.approx(1)


def test_forest_anova_of_a_decay_of_zero_takes_categories() -> None:
    lr, wd = np.meshgrid(10**LOGS, [0.0, 1e-6, 1e-4], indexing="ij")
    found = forest_anova(lr.ravel(), wd.ravel(), (wd == 0).ravel().astype(float))
    assert found["weight_decay"] == pytest.approx(1, abs=0.02)


def test_forest_anova_without_variance_has_no_shares() -> None:
    found = forest_anova(10**LOGS, 10**LOGS, np.full(LOGS.size, 0.1))
    assert found.pop("total_variance") == 0
    assert np.isnan(list(found.values())).all()


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

    def found(rows: list[TrialResult]) -> object:
        (scores,) = score(TrialTable.from_results(rows, chance_accuracy=0.1, search="random"))
        return importance(scores)

    assert found(rows) == found(rows) is not None
    assert found(rows[1:]) is None
    failed = [*rows[1:], make_result(outcome=Outcome.FAILED)]
    assert found(failed) is None
