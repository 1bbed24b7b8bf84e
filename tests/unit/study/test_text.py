import pytest

from study.records import Estimate
from study.text import estimate_text, percent_text
from study.verdicts import Unit


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (-0.0001, "0.0"), (0.0, "0.0")]
)
def test_difference_in_points_has_its_sign(value: float, expected: str) -> None:
    assert estimate_text(Estimate(value=value), Unit.POINTS) == expected


def test_interval_is_beside_the_number() -> None:
    estimate = Estimate(value=0.9, low=-0.0001, high=1.0)
    assert percent_text(estimate) == "90.0 [0.0, 100.0]"
    assert percent_text(Estimate(value=None)) == "–"
