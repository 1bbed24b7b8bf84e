import pytest

from study.records import Estimate
from study.verdicts import Difference, Unit, Verdict, verdict


def difference(low: float | None, high: float | None, unit: Unit = Unit.POINTS) -> Difference:
    return Difference("another", Estimate(value=0.0, low=low, high=high), unit)


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0.001, 0.1)], Verdict.SUPPORTED),
        ([(0.001, 0.1), (0.02, 0.03)], Verdict.SUPPORTED),
        ([(-0.1, -0.001)], Verdict.CONTRADICTED),
        ([(0.02, 0.03), (-0.1, -0.001)], Verdict.CONTRADICTED),
        ([(-0.004, 0.009)], Verdict.NOT_SUPPORTED),
        ([(0.02, 0.03), (-0.004, 0.009)], Verdict.NOT_SUPPORTED),
        ([(-0.004, 0.011)], Verdict.NOT_DECIDED),
        ([(0.02, 0.03), (-0.004, 0.011)], Verdict.NOT_DECIDED),
        ([(0.02, 0.03), (None, None)], Verdict.NOT_DECIDED),
        ([(-0.1, -0.001), (None, None)], Verdict.CONTRADICTED),
        ([(0.0, 0.1)], Verdict.NOT_DECIDED),
        ([], Verdict.NOT_DECIDED),
    ],
)
def test_verdict_follows_from_intervals(
    intervals: list[tuple[float | None, float | None]], expected: Verdict
) -> None:
    assert verdict([difference(*ends) for ends in intervals]) is expected


def test_margin_depends_on_the_unit() -> None:
    assert verdict([difference(-0.05, 0.05)]) is Verdict.NOT_DECIDED
    assert verdict([difference(-0.05, 0.05, Unit.DECADES)]) is Verdict.NOT_SUPPORTED
