"""Text of numbers, durations and comparisons."""

from __future__ import annotations

from typing import Any

import pytest

from service.sensitivity.schemas import PairComparison
from service.sensitivity.strict_schema import Interval
from service.ui.labels import comparison_sentence, counted, duration, percentage
from workers.scores import SCORES


def pair(mean: float | None, wins: int = 0, ties: int = 0, losses: int = 0, **more: Any) -> Any:
    fields: dict[str, Any] = dict.fromkeys(PairComparison.model_fields) | {"axis_differences": {}}
    counts = {"n_blocks": wins + ties + losses, "wins": wins, "ties": ties, "losses": losses}
    return PairComparison.model_validate(
        fields
        | {"a": "sa-sam", "b": "mine", "best_difference": 0.0, "mean_difference": mean}
        | {"same_space": True}
        | counts
        | more
    )


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            pair(
                None,
                same_space=False,
                best_difference=-0.02,
                best_difference_interval=Interval(low=-0.03, high=-0.01),
            ),
            "mine is 2 points better than SA-SAM at the selected configurations, more than the"
            " seeds vary; they search different spaces.",
        ),
        (
            pair(None, same_space=False),
            "SA-SAM and mine are level at their selected configurations, without an interval; they"
            " search different spaces.",
        ),
        (
            pair(0.021, 12, 1, 3, wilcoxon_p_holm=0.004),
            "SA-SAM is 2.1 points better than mine on average: SA-SAM ahead on 12, mine on 3, "
            "level on 1 of 16 shared configurations; consistent within this sweep (p = 0.004).",
        ),
        (
            pair(-0.01, 1, 0, 3, wilcoxon_p_holm=0.5),
            "mine is 1 point better than SA-SAM on average: mine ahead on 3, SA-SAM on 1 of 4 "
            "shared configurations; no consistent difference within this sweep (p = 0.5).",
        ),
        (
            pair(0.0001, 1, 0, 0),
            "SA-SAM and mine are level on average: SA-SAM ahead on 1, mine on 0 of 1 shared "
            "configuration; too few configurations to test.",
        ),
        (pair(None), "SA-SAM and mine share no configuration."),
    ],
)
def test_comparison_starts_with_the_better_optimizer(comparison: Any, sentence: str) -> None:
    assert comparison_sentence(comparison, SCORES["accuracy"]) == sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.2, "1 s"),
        (89.5, "90 s"),
        (90, "2 min"),
        (7500, "2 h 5 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_duration_has_at_most_two_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1200, "1,200 trials")]
)
def test_counted_noun_agrees_with_its_number(value: int, text: str) -> None:
    assert counted(value, "trial") == text


@pytest.mark.parametrize(("fraction", "text"), [(0.625, "62.5 %"), (0.0, "0.0 %"), (None, "–")])
def test_percentage_without_a_value_has_no_sign(fraction: float | None, text: str) -> None:
    assert percentage(fraction) == text
