"""Whether the service is ready, as many may ask at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from service.execution.lease import Lease
from service.external.mlflow_gateway import MlflowUnavailableError
from service.observation.readiness import ReadinessWatch
from service.storage import Database


class Dependency:
    """Answers, does not answer, or keeps everyone waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def ping(self) -> None:
        self.asked += 1
        assert self.may_answer.wait(30)
        if self.error is not None:
            raise self.error

    version = ping


@pytest.fixture
def database(tmp_path: Path) -> Any:
    found = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    found.migrate()
    yield found
    found.close()


def test_external_services_are_checked_once_per_second_for_all_callers(
    database: Database,
) -> None:
    now, ray, mlflow = [0.0], Dependency(), Dependency()
    watch = ReadinessWatch(database, ray, mlflow, 10, clock=lambda: now[0])  # type: ignore[arg-type]
    assert Lease(database, seconds=60).acquire()
    assert watch.latest().ready
    assert [watch.latest().ready for _ in range(5)] == [True] * 5
    assert mlflow.asked == 1
    now[0] = 2
    mlflow.error = MlflowUnavailableError("MLflow does not answer")
    assert watch.latest().checks["mlflow"] == "MLflow does not answer"
    assert (mlflow.asked, ray.asked) == (2, 2)


def test_unresponsive_service_delays_one_caller_only(database: Database) -> None:
    now, ray, mlflow = [0.0], Dependency(), Dependency()
    watch = ReadinessWatch(database, ray, mlflow, 10, clock=lambda: now[0])  # type: ignore[arg-type]
    first = watch.latest()
    mlflow.may_answer.clear()
    now[0] = 5
    waiting = threading.Thread(target=watch.latest)
    waiting.start()
    while mlflow.asked < 2:
        waiting.join(0.01)
    assert watch.latest() is first
    mlflow.may_answer.set()
    waiting.join(30)
    assert watch.latest() is not first


def test_service_is_not_ready_after_some_leases_without_a_leader(database: Database) -> None:
    now = [0.0]
    watch = ReadinessWatch(database, Dependency(), Dependency(), 10, clock=lambda: now[0])  # type: ignore[arg-type]
    assert watch.latest().ready, "another one may be about to take over"
    now[0] = 31
    late = watch.latest()
    assert not late.ready
    assert late.checks["lease"] == "no service has acted on sweeps for 31 s"
    lease = Lease(database, seconds=60)
    assert lease.acquire()
    now[0] = 33
    led = watch.latest()
    assert (led.ready, led.leader) == (True, lease.holder)
