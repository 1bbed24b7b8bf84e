from collections.abc import Callable

import pytest

from study.claims import CLAIMS, ClaimTest
from study.records import PartRecord
from study.verdicts import Verdict, verdict

MakeRecord = Callable[..., PartRecord]

TESTS = [
    pytest.param(test, id=test.name)
    for claim in CLAIMS
    if claim.source != "Remark 1"
    for test in claim.tests
]
REMARK = [test for claim in CLAIMS if claim.source == "Remark 1" for test in claim.tests]


@pytest.mark.parametrize("test", TESTS)
def test_claim_is_supported_where_sa_sam_leads(test: ClaimTest, make_record: MakeRecord) -> None:
    assert verdict(test.differences(make_record(lead=0.05))) is Verdict.SUPPORTED


@pytest.mark.parametrize("test", TESTS)
def test_claim_is_contradicted_where_sa_sam_trails(
    test: ClaimTest, make_record: MakeRecord
) -> None:
    traces = dict.fromkeys(("sam", "sa-sgd", "msgd", "adam"), 10.0) | {"sa-sam": 100.0}
    made = make_record(lead=-0.05, traces=traces)
    assert verdict(test.differences(made)) is Verdict.CONTRADICTED


@pytest.mark.parametrize("test", TESTS)
def test_claim_is_not_decided_without_intervals(test: ClaimTest, make_record: MakeRecord) -> None:
    made = make_record()
    one_seed = [trial for trial in made.trials if trial.seed == 0]
    made = made.model_copy(update={"pairs": [], "trials": one_seed})
    assert verdict(test.differences(made)) is Verdict.NOT_DECIDED


def at_largest_rate(sa_sgd: float, sa_sam: float) -> Callable[[str, float, int], float]:
    """OOD accuracies of 0.8, but at the largest learning rate as given, give or take a seed."""
    there = {"sa-sgd": sa_sgd, "sa-sam": sa_sam}
    return lambda label, rate, seed: there.get(label, 0.8) + seed / 100 if rate == 1e-1 else 0.8


@pytest.mark.parametrize(
    ("sa_sgd", "sa_sam", "verdicts"),
    [
        (0.1, 0.7, [Verdict.SUPPORTED] * 3),
        (0.7, 0.76, [Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.SUPPORTED]),
        (0.7, 0.3, [Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.CONTRADICTED]),
    ],
)
def test_remark_on_the_largest_rate(
    make_record: MakeRecord, sa_sgd: float, sa_sam: float, verdicts: list[Verdict]
) -> None:
    made = make_record(accuracy_at=at_largest_rate(sa_sgd, sa_sam))
    assert [verdict(test.differences(made)) for test in REMARK] == verdicts


def test_quotes_have_a_source_and_a_method() -> None:
    assert all(claim.quote and claim.method and claim.tests for claim in CLAIMS)
