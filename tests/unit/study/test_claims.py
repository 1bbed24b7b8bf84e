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


def test_remark_is_supported_where_sa_sgd_fails(make_record: MakeRecord) -> None:
    made = make_record(
        accuracy_at=lambda label, rate, seed: 0.1 + seed / 100 if rate == 1e-1 else 0.8
    )
    assert {verdict(test.differences(made)) for test in REMARK} == {Verdict.SUPPORTED}


def test_remark_where_sa_sgd_loses_a_little_but_learns(make_record: MakeRecord) -> None:
    made = make_record(
        accuracy_at=lambda label, rate, seed: 0.7 + seed / 100 if rate == 1e-1 else 0.8
    )
    loses, fails = (verdict(test.differences(made)) for test in REMARK)
    assert loses is Verdict.SUPPORTED
    assert fails is Verdict.CONTRADICTED


def test_quotes_have_a_source_and_a_method() -> None:
    assert all(claim.quote and claim.method and claim.tests for claim in CLAIMS)
