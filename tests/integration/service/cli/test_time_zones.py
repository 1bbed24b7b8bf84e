"""Every time that is shown or written, on a machine whose zone is not UTC."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest

from service.client import Sweep
from service.observation.logs import configure_logging
from service.trials.repository import TrialRepository
from workers.logs import TrialLog, read_trial_log
from workers.moments import clock_text, moment_text

SECOND_HOUR = datetime(2026, 11, 1, 4, 45, tzinfo=UTC)
"""01:15 in St. John's, for the second time that night: summer time ended a quarter before."""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Newfoundland: three and a half hours behind UTC, two and a half in summer."""
    monkeypatch.setenv("TZ", "NST3:30NDT,M3.2.0,M11.1.0")
    time.tzset()
    assert datetime.now().astimezone().utcoffset() != timedelta(0)
    yield
    monkeypatch.undo()
    time.tzset()


def test_command_line_shows_times_in_utc_and_says_so(run: Any, service: Any, sweep: Sweep) -> None:
    created = sweep.detail.created_at.astimezone(UTC)
    shown = f"{created:%Y-%m-%d %H:%M:%S} UTC"
    assert shown in run("show", sweep.sweep_id).stdout
    assert shown in run("list").stdout
    service.complete(sweep.sweep_id)  # otherwise the events would not end
    events = run("events", sweep.sweep_id).stdout
    assert events.startswith(f"{created:%H:%M:%S}Z "), events


def test_answers_for_programs_have_an_offset(run: Any, sweep: Sweep) -> None:
    created = sweep.detail.created_at
    found = json.loads(run("show", sweep.sweep_id, "-o", "json").stdout)
    assert datetime.fromisoformat(found["created_at"]) == created
    for output in ("json", "csv"):
        assert created.isoformat().replace("+00:00", "Z") in run("list", "-o", output).stdout


def test_optuna_study_has_the_moments_of_the_trials(
    run: Any, service: Any, sweep: Sweep, tmp_path: Path
) -> None:
    first, second, third, *_ = sorted(sweep.trials(), key=lambda trial: trial.key)
    started = SECOND_HOUR - timedelta(minutes=60)
    times = {
        first.key: {"started_at": started, "ended_at": SECOND_HOUR},
        second.key: {"started_at": SECOND_HOUR, "ended_at": SECOND_HOUR + timedelta(hours=9)},
        third.key: {"started_at": None, "ended_at": SECOND_HOUR},
    }
    with service.database.transaction() as session:
        for key, values in times.items():
            TrialRepository(session).record(sweep.sweep_id, key, {"outcome": "failed", **values})
    file = tmp_path / "study.db"
    answer = run("export", sweep.sweep_id, "--optuna", f"sqlite:///{file}")
    assert answer.exit_code == 0, answer.output
    with sqlite3.connect(file) as connection:  # Optuna stores UTC without a zone
        stored = connection.execute(
            "select value_json, datetime_start, datetime_complete from trials"
            " join trial_user_attributes using (trial_id) where key = 'sasam.trial'"
        ).fetchall()
    connection.close()
    found = {
        json.loads(key): [datetime.fromisoformat(f"{text}+00:00") for text in moments]
        for key, *moments in stored
    }
    assert found == {
        key: [values["started_at"] or values["ended_at"], values["ended_at"]]
        for key, values in times.items()
    }
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{file}")
    read = {trial.user_attrs["sasam.trial"]: trial for trial in study.trials}
    assert read[second.key].datetime_complete == datetime(2026, 11, 1, 10, 15)
    assert all(trial.duration >= timedelta(0) for trial in read.values() if trial.duration)


def test_moment_and_clock_are_utc() -> None:
    assert moment_text(SECOND_HOUR.astimezone()) == "2026-11-01 04:45:00 UTC"
    assert clock_text(SECOND_HOUR.astimezone()) == "04:45:00Z"


def test_log_lines_have_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    configure_logging("text")
    trial_log = TrialLog()
    trial_log.follow(tmp_path)
    before = datetime.now(UTC)
    logging.getLogger("workers.example").warning("one line")
    after = datetime.now(UTC)
    trial_log.close()
    for text in (stream.getvalue(), read_trial_log(tmp_path)):
        (line,) = text.splitlines()
        moment = datetime.fromisoformat(line.split(" ")[0])
        margin = timedelta(milliseconds=1)
        assert before - margin <= moment <= after + margin, line
