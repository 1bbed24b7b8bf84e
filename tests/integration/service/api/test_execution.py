"""Logs, repair and commands with consent over HTTP, without Ray and MLflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update
from starlette.testclient import TestClient

from service.storage import Database, DriverLogRow, SweepRow, TrialRow

Problem = Callable[..., dict[str, Any]]


@pytest.fixture
def drivers(database: Database, submit: Callable[[], str]) -> Callable[..., str]:
    """A sweep with the logs of its drivers."""

    def make(*texts: str) -> str:
        sweep_id = submit()
        with database.transaction() as session:
            session.execute(
                update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(attempt=len(texts))
            )
            for attempt, text in enumerate(texts, 1):
                row = {"sweep_id": sweep_id, "attempt": attempt, "text": text}
                session.add(DriverLogRow(**row, created_at=datetime.now(UTC)))
        return sweep_id

    return make


def test_logs_come_one_below_the_other(client: TestClient, drivers: Callable[..., str]) -> None:
    sweep_id = drivers("a\nb\nc\n", "d\n")
    url = f"/api/v1/sweeps/{sweep_id}/logs"
    answer = client.get(url)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "==> attempt 1 <==\na\nb\nc\n\n==> attempt 2 <==\nd\n"
    assert client.get(f"{url}?tail=1").text == "==> attempt 1 <==\nc\n\n==> attempt 2 <==\nd\n"
    assert client.get(f"{url}?attempt=2").text == "==> attempt 2 <==\nd\n"


def test_sweep_without_a_driver_has_no_logs(client: TestClient, submit: Callable[[], str]) -> None:
    answer = client.get(f"/api/v1/sweeps/{submit()}/logs")
    assert (answer.status_code, answer.text) == (200, "")


def test_log_that_only_the_cluster_has_is_unavailable_with_it(
    client: TestClient, database: Database, submit: Callable[[], str], problem: Problem
) -> None:
    sweep_id = submit()
    with database.transaction() as session:
        session.execute(update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(attempt=1))
    details = problem(client.get(f"/api/v1/sweeps/{sweep_id}/logs"), 503)
    assert details["detail"].startswith(
        "Ray does not answer at SASAM_RAY_ADDRESS (http://127.0.0.1:"
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sweeps/missing/logs", 404),
        ("/sweeps/{id}/logs?attempt=3", 404),
        ("/sweeps/{id}/logs?attempt=0", 422),
        ("/sweeps/{id}/logs?tail=0", 422),
        ("/sweeps/{id}/logs?tail=2001", 422),
        ("/sweeps/{id}/trials/missing/logs", 404),
        ("/sweeps/missing/trials/missing/logs", 404),
    ],
)
def test_log_that_cannot_be_is_a_problem(
    path: str, status: int, client: TestClient, drivers: Callable[..., str], problem: Problem
) -> None:
    problem(client.get("/api/v1" + path.format(id=drivers("a", "b"))), status)


def test_log_of_a_trial_is_live_where_its_storage_is_seen(
    client: TestClient, submit: Callable[[], str]
) -> None:
    sweep_id = submit()
    key = client.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["trials"][0]["key"]
    url = f"/api/v1/sweeps/{sweep_id}/trials/{key}/logs"
    assert (client.get(url).status_code, client.get(url).text) == (200, "")
    storage = Path(client.app.state.services.settings.resolved_storage_path)  # type: ignore[attr-defined]
    folder = storage / "sweeps" / sweep_id / "checkpoints" / key
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("one\ntwo\n")
    assert client.get(f"{url}?tail=1").text == "==> log <==\ntwo\n"


def test_log_of_an_ended_trial_needs_mlflow(
    client: TestClient, database: Database, submit: Callable[[], str], problem: Problem
) -> None:
    sweep_id = submit()
    key = client.get(f"/api/v1/sweeps/{sweep_id}/trials").json()["trials"][0]["key"]
    with database.transaction() as session:
        ended = {"mlflow_run_id": "run", "outcome": "failed"}
        session.execute(update(TrialRow).where(TrialRow.sweep_id == sweep_id).values(**ended))
    answer = client.get(f"/api/v1/sweeps/{sweep_id}/trials/{key}/logs")
    assert "MLflow does not answer" in problem(answer, 503)["detail"]


def test_repair_needs_mlflow_and_a_sweep(
    client: TestClient, submit: Callable[[], str], problem: Problem
) -> None:
    problem(client.post("/api/v1/repair"), 503)
    problem(client.post(f"/api/v1/sweeps/{submit()}/repair"), 503)
    problem(client.post("/api/v1/sweeps/missing/repair"), 404)


def test_other_code_is_a_problem_that_force_overcomes(
    client: TestClient, database: Database, submit: Callable[[], str], problem: Problem
) -> None:
    sweep_id = submit()
    with database.transaction() as session:
        paused = {"state": "paused", "code_version": "0.0.9"}
        session.execute(update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(**paused))
        session.execute(
            update(TrialRow).where(TrialRow.sweep_id == sweep_id).values(outcome="completed")
        )
    url = f"/api/v1/sweeps/{sweep_id}/resume"
    details = problem(client.post(url), 409)
    assert (details["type"], details["before"]) == ("urn:sasam:code-changed", "0.0.9")
    assert client.post(f"{url}?force=true").json()["state"] == "queued"


def test_readiness_names_the_leader(client: TestClient) -> None:
    leader = client.get("/readyz").json()["leader"]
    while leader is None:  # the lease is taken in a thread
        leader = client.get("/readyz").json()["leader"]
    assert "-" in leader


def test_unavailable_database_is_a_problem(
    client: TestClient, database: Database, problem: Problem
) -> None:
    with database.transaction() as session:
        session.execute(text("alter table sweeps rename to renamed"))
    details = problem(client.get("/api/v1/sweeps"), 503)
    assert "the database does not answer" in details["detail"]
    with database.transaction() as session:
        session.execute(text("alter table renamed rename to sweeps"))
    assert client.get("/api/v1/sweeps").status_code == 200
