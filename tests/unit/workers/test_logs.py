"""The bounded log of a trial."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.logs import TrialLog, read_trial_log


@pytest.fixture
def trial_log() -> Iterator[TrialLog]:
    trial_log = TrialLog()
    yield trial_log
    trial_log.close()


def test_each_trial_has_its_own_lines(trial_log: TrialLog, tmp_path: Path) -> None:
    logging.getLogger("workers.x").warning("before any")
    for name in ("a", "b", "a"):
        trial_log.follow(tmp_path / name)
        logging.getLogger("workers.x").info("in %s", name)
        logging.getLogger("other").warning("a library in %s", name)
    trial_log.close()
    logging.getLogger("workers.x").warning("after all")
    lines = read_trial_log(tmp_path / "a").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO workers.x: in a",
        "WARNING other: a library in a",
    ] * 2
    assert "in a" not in read_trial_log(tmp_path / "b")


@pytest.mark.slow
def test_log_keeps_its_end_in_bounded_space(trial_log: TrialLog, tmp_path: Path) -> None:
    trial_log.follow(tmp_path)
    for number in range(5_000):
        logging.getLogger("workers.x").info("%s %06d", 90 * "x", number)
    text = read_trial_log(tmp_path)
    assert len(text) == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 128 * 1024 < len(text) <= 256 * 1024
    assert text.endswith(" 004999\n")


def test_trial_continues_when_its_log_cannot_be_written(
    trial_log: TrialLog, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    trial_log.follow(tmp_path / "file" / "folder")
    logging.getLogger("workers.x").warning("unheard")
    assert read_trial_log(tmp_path / "file" / "folder") == ""


def test_trial_without_a_log_has_an_empty_one(tmp_path: Path) -> None:
    assert read_trial_log(tmp_path / "missing") == ""
