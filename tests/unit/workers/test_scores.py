"""Texts and ranges of scores."""

import math

import pytest

from workers.scores import SCORES, score_of_metric

ACCURACY, LOSS = SCORES["accuracy"], SCORES["loss"]


def test_costs_are_in_points_or_nats() -> None:
    assert ACCURACY.cost(0.013) == "loses 1.3 points"
    assert LOSS.cost(0.0214) == "its loss rises by 0.021 nats"
    assert ACCURACY.ranked(better=True) == "are more accurate"
    assert LOSS.ranked(better=True) == "have a lower loss"
    assert LOSS.ranked(better=False) == "have a higher loss"


def test_ranges_of_differences() -> None:
    assert ACCURACY.signed_differences == (-1.0, 1.0)
    assert LOSS.differences == (0.0, math.inf)


@pytest.mark.parametrize("score", SCORES.values())
def test_metrics_name_their_score(score) -> None:
    assert [score_of_metric(metric) for metric in score.metrics] == [score, score]


def test_value_worse_than_a_guess_counts_as_one() -> None:
    assert ACCURACY.at_least_guess(0.02, 0.1) == 0.1
    assert LOSS.at_least_guess(9.0, 0.1) == pytest.approx(math.log(10))
    assert LOSS.at_least_guess(9.0, 0.0) == 9.0  # the number of classes is unknown
