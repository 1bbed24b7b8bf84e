"""Metrics, request ids and log lines of the real application."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from starlette.testclient import TestClient

from service.app import create_app
from service.storage import EventRow, SweepRow
from tests.support.running_service import offline_settings

SPECIFICATION = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [msgd, sam]
search: {learning_rate: [0.1], weight_decay: [0]}
training: {epochs: 1, batch_size: 64, augmentation: none}
"""


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return create_app(offline_settings(tmp_path, reconcile_seconds=0.02))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def read(client: TestClient) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        sample.name
        + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_sweeps_trials_requests_and_passes(client: TestClient) -> None:
    empty = read(client)
    assert empty["sasam_sweeps|queued"] == 0
    assert empty["sasam_queue_age_seconds"] == 0
    sweep_id = client.post("/api/v1/sweeps", content=SPECIFICATION).json()["sweep_id"]
    for _ in range(3):
        client.get(f"/api/v1/sweeps/{sweep_id}")
    client.get("/api/v1/sweeps/000000000000")
    client.get("/no/such/path")
    client.get("/no/other/path")
    told = read(client)
    assert sum(v for k, v in told.items() if k.startswith("sasam_sweeps|")) == 1
    assert told["sasam_trials|unfinished"] == 2
    assert told["sasam_queue_age_seconds"] >= 0
    count = "sasam_http_request_seconds_count|GET"
    assert told[f"{count}|/api/v1/sweeps/{{sweep_id}}|200"] == 3
    assert told[f"{count}|/api/v1/sweeps/{{sweep_id}}|404"] == 1
    assert told[f"{count}|unknown|404"] == 2
    assert told["sasam_ray_up"] == 0
    assert sweep_id not in str(told)
    while not read(client)["sasam_leader"] or not read(client)["sasam_reconcile_seconds_count"]:
        pass  # each reading takes time
    assert read(client)["sasam_reconcile_failures_total"] == 0


def test_methods_that_callers_invent_are_one(client: TestClient) -> None:
    for number in range(20):
        client.request(f"INVENTED-{number}", "/no/such/path")
    counts = {key: value for key, value in read(client).items() if "_seconds_count|" in key}
    assert [value for key, value in counts.items() if "|other|" in key] == [20]
    assert not [key for key in counts if "INVENTED" in key]


def test_queue_age_counts_from_the_last_time_a_sweep_was_queued(
    app: FastAPI, client: TestClient
) -> None:
    sweep_id = client.post("/api/v1/sweeps", content=SPECIFICATION).json()["sweep_id"]
    old = datetime.now(UTC) - timedelta(days=2)
    with app.state.services.database.transaction() as session:
        session.execute(update(SweepRow).values(created_at=old))
        session.execute(update(EventRow).values(created_at=old))
    assert read(client)["sasam_queue_age_seconds"] > 3600
    assert client.post(f"/api/v1/sweeps/{sweep_id}/pause").is_success
    assert read(client)["sasam_queue_age_seconds"] == 0
    assert client.post(f"/api/v1/sweeps/{sweep_id}/resume").is_success
    assert read(client)["sasam_queue_age_seconds"] < 60


def test_request_id_of_the_caller_is_kept_and_others_are_made(client: TestClient) -> None:
    kept = client.get("/healthz", headers={"X-Request-ID": "job-42.a_B"})
    assert kept.headers["x-request-id"] == "job-42.a_B"
    assert kept.headers["sasam-version"] == version("sasam")
    made = {
        client.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"]
        for bad in ("", "a b", "x" * 65, '"}', "a;b")
    }
    assert len(made) == 5
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in made)


def test_line_of_a_request_is_one_line_whatever_its_path(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "service.observation.requests"):
        client.get("/api/v1/sweeps/a%0a2026-01-01%20INFO%20forged?token=secret")
    (record,) = [r for r in caplog.records if r.name == "service.observation.requests"]
    message = record.getMessage()
    assert "\n" not in message
    assert "secret" not in message
    assert message.startswith("GET /api/v1/sweeps/a%0a")
    assert record.__dict__["fields"]["route"] == "/api/v1/sweeps/{sweep_id}"
    assert record.__dict__["fields"]["actor"] == "local"


def test_defect_is_answered_with_the_id_that_finds_it_in_the_log(
    app: FastAPI, client: TestClient
) -> None:
    @app.get("/api/v1/broken")
    def fail() -> None:
        raise ZeroDivisionError("a secret detail")

    answer = client.get("/api/v1/broken", headers={"X-Request-ID": "lost"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "lost"
    assert "secret" not in answer.text
    assert read(client)["sasam_http_request_seconds_count|GET|/api/v1/broken|500"] == 1
