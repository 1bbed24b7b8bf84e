"""Reused trials over HTTP and on the pages: where they come from, and how many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.execution.trial_sync import record_runs
from service.storage import Database
from service.sweeps.repository import SweepRepository
from workers.durable_storage import checkpoint_path
from workers.metrics import Outcome
from workers.mlflow_schema import Origin, TrialRun
from workers.spec import load_spec

Submit = Callable[..., str]
SWEEPS = "/api/v1/sweeps"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def copied(submit: Submit, specification: str, database: Database) -> tuple[str, str]:
    """A sweep with a reused trial, delivered an hour after it was trained; ids of both sweeps."""
    source, sweep_id = submit("original"), submit()
    trained = START - timedelta(hours=1)
    first, second, *_ = load_spec(specification).trials
    metrics = {"val_accuracy": 0.5}
    origin = Origin(source, "run-1", trained, trained + timedelta(minutes=5))
    with database.transaction() as session:
        runs = [
            TrialRun(
                **{"key": trial.key, "run_id": f"run-{position}", "attempt": 1, "epoch": 2},
                **{"metrics": metrics, "started_at": START, "ended_at": START},
                outcome=Outcome.COMPLETED,
                origin=one,
            )
            for position, (trial, one) in enumerate([(first, origin), (second, None)])
        ]
        SweepRepository(session).lock(sweep_id)
        record_runs(session, sweep_id, runs)
    return source, sweep_id


def test_reused_trial_names_the_sweep_that_computed_it(
    copied: tuple[str, str], client: TestClient
) -> None:
    source, sweep_id = copied
    trials = client.get(f"{SWEEPS}/{sweep_id}/trials").json()["trials"]
    assert trials[0]["reused_from"] == {"sweep_id": source, "run_id": "run-1"}
    assert trials[0]["started_at"] == "2025-12-31T23:00:00Z"
    assert trials[0]["ended_at"] == "2025-12-31T23:05:00Z"
    assert trials[1]["reused_from"] is None
    assert trials[1]["started_at"] == "2026-01-01T00:00:00Z"
    progress = client.get(f"{SWEEPS}/{sweep_id}").json()["progress"]
    assert (progress["reused"], progress["completed"], progress["pending"]) == (1, 2, 6)
    rows = list(csv.DictReader(io.StringIO(client.get(f"{SWEEPS}/{sweep_id}/trials.csv").text)))
    assert [row["reused_from"] for row in rows] == [source, *[""] * 7]


def test_pages_show_what_is_reused(
    copied: tuple[str, str], client: TestClient, specification: str
) -> None:
    source, sweep_id = copied
    first, second, *_ = load_spec(specification).trials
    page = client.get(f"/sweeps/{sweep_id}").text
    assert "1 of 8 trials reused" in page
    assert "reused" not in client.get(f"/sweeps/{source}/status").text
    assert client.get(f"/sweeps/{sweep_id}/trials").text.count(">reused</small>") == 1
    trial = client.get(f"/sweeps/{sweep_id}/trials/{first.key}").text
    assert "Reused: this trial was not trained in this sweep." in trial
    assert f'href="/sweeps/{source}/trials/{first.key}"' in trial
    assert "duration (original trial)" in trial
    assert "Reused" not in client.get(f"/sweeps/{sweep_id}/trials/{second.key}").text


def test_page_of_a_trial_reused_from_a_deleted_sweep_has_no_link(
    copied: tuple[str, str], client: TestClient, specification: str
) -> None:
    source, sweep_id = copied
    assert client.post(f"{SWEEPS}/{source}/cancel").status_code == 200
    key = load_spec(specification).trials[0].key
    database: Database = client.app.state.services.database  # type: ignore[attr-defined]
    with database.transaction() as session:
        row = SweepRepository(session).get(source)
        assert row is not None
        session.delete(row)
    trial = client.get(f"/sweeps/{sweep_id}/trials/{key}").text
    assert "a trial of a sweep that was deleted" in trial
    assert f'href="/sweeps/{source}' not in trial


def test_checkpoint_of_a_reused_trial_is_that_of_the_original(
    copied: tuple[str, str], client: TestClient, specification: str
) -> None:
    source, sweep_id = copied
    settings = client.app.state.services.settings  # type: ignore[attr-defined]
    first, second, *_ = load_spec(specification).trials
    for key in (first.key, second.key):
        path = checkpoint_path(settings.resolved_storage_path, source, key)
        assert isinstance(path, Path)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
    here = f"{SWEEPS}/{sweep_id}/trials"
    assert client.get(f"{here}/{first.key}/checkpoint").content == b"weights"
    assert client.get(f"{here}/{second.key}/checkpoint").status_code == 404


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("early_stopping: {type: asha}", "cannot go with early_stopping"),
        ("search: {type: tpe, trials: 3}", "needs a grid or a random search"),
    ],
)
def test_reuse_is_refused_where_trials_depend_on_each_other(
    client: TestClient, specification: str, extra: str, message: str
) -> None:
    kept = [line for line in specification.splitlines() if not line.startswith(extra[:7])]
    text = "\n".join([*kept, extra, "reuse: true"])
    details = client.post(SWEEPS, content=text).json()
    assert [error["path"] for error in details["errors"]] == ["reuse"]
    assert message in details["errors"][0]["message"]
