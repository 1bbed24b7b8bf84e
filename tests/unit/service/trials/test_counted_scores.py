"""Scores of a trial as summaries count them."""

import math

import pytest

from service.storage import TrialRow
from service.trials.scores import counted_scores
from workers.scores import SCORES

MEASURED = {"val_accuracy": 0.05, "ood_accuracy": 0.5, "val_loss": 9.0, "ood_loss": 1.5}
GUESS = pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("score", "outcome", "classes", "expected"),
    [
        ("accuracy", "completed", 10, {"val_accuracy": 0.1, "ood_accuracy": 0.5}),
        ("loss", "completed", 10, {"val_loss": GUESS, "ood_loss": 1.5}),
        ("loss", "completed", None, {"val_loss": 9.0, "ood_loss": 1.5}),
        ("accuracy", "diverged", 10, {"val_accuracy": 0.1, "ood_accuracy": 0.1}),
        ("loss", "diverged", 10, {"val_loss": GUESS, "ood_loss": GUESS}),
        ("accuracy", "diverged", None, {"val_accuracy": 0.0, "ood_accuracy": 0.0}),
        ("loss", "diverged", None, {}),
        ("loss", "failed", 10, {}),
    ],
)
def test_counted_scores_are_never_worse_than_a_guess(score, outcome, classes, expected) -> None:
    trial = TrialRow(outcome=outcome, metrics=MEASURED)
    assert counted_scores(trial, SCORES[score], classes) == expected
