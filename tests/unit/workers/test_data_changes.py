"""Going on with other data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.data_changes import require_same_data, require_unchanged_data
from workers.datasets import DamagedDataError
from workers.job import FORCE_HINT
from workers.journal import Journal
from workers.metrics import Outcome
from workers.spec import SpecError

OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.jsonl")
    yield journal
    journal.close()


def start(journal: Journal, fingerprint: str | None) -> None:
    tags = {} if fingerprint is None else {"sasam.data_fingerprint": fingerprint}
    journal.append("sweep_started", tags=tags)


def end(journal: Journal, outcome: Outcome) -> None:
    journal.append("trial_ended", "sweep_started", outcome=outcome, epoch=1)


def test_other_data_than_those_of_results_need_consent(journal: Journal) -> None:
    start(journal, NEW)
    start(journal, OLD)
    end(journal, Outcome.DIVERGED)
    with pytest.raises(SpecError) as caught:
        require_unchanged_data(journal, NEW, accepted=False)
    assert str(caught.value).startswith(
        "dataset: 1 trial has ended on other data (fingerprint aaaaaaaaaaaa, now bbbbbbbbbbbb)"
    )
    assert FORCE_HINT in str(caught.value)  # by which the service recognises the reason
    require_unchanged_data(journal, NEW, accepted=True)
    require_unchanged_data(journal, OLD, accepted=False)


def test_consent_holds_for_the_drivers_after_it(journal: Journal) -> None:
    start(journal, OLD)
    end(journal, Outcome.COMPLETED)
    start(journal, NEW)  # the driver that went on with consent
    require_unchanged_data(journal, NEW, accepted=False)


@pytest.mark.parametrize(
    ("before", "outcome"),
    [(None, Outcome.COMPLETED), (OLD, Outcome.FAILED), (OLD, Outcome.CANCELLED)],
)
def test_unknown_data_or_no_results_need_none(
    before: str | None, outcome: Outcome, journal: Journal
) -> None:
    start(journal, before)
    end(journal, outcome)
    require_unchanged_data(journal, NEW, accepted=False)


def test_first_driver_needs_none(journal: Journal) -> None:
    require_unchanged_data(journal, NEW, accepted=False)


def test_trial_on_other_data_than_the_driver_saw_is_refused() -> None:
    require_same_data(OLD, OLD)
    require_same_data(NEW, None)
    with pytest.raises(DamagedDataError, match=r"\(fingerprint aaaaaaaaaaaa, now bbbbbbbbbbbb\)"):
        require_same_data(NEW, OLD)
