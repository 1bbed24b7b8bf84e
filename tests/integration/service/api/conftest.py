"""The real application on a SQLite file, without Ray and MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.storage import Database
from tests.support.running_service import offline_settings

SPECIFICATION = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}
training: {epochs: 2, batch_size: 64, augmentation: none}
"""


@pytest.fixture
def specification() -> str:
    """A sweep of eight trials, as YAML."""
    return SPECIFICATION


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One application for the tests of a file; a defect is an answer, as it is for a caller."""
    settings = offline_settings(
        tmp_path_factory.mktemp("home"), max_trials=100, max_body_bytes=8192
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def database(client: TestClient) -> Database:
    """The application's database, where tests play the reconciler."""
    return client.app.state.services.database  # type: ignore[attr-defined]


@pytest.fixture
def submit(client: TestClient) -> Callable[..., str]:
    """Submit a sweep; returns its id."""

    def post(name: str = "small") -> str:
        answer = client.post("/api/v1/sweeps", content=SPECIFICATION.replace("small", name))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["sweep_id"])

    return post


@pytest.fixture
def problem() -> Callable[[httpx.Response, int], dict[str, object]]:
    """Check that an answer is a problem of a status; returns its details."""

    def check(answer: httpx.Response, status: int) -> dict[str, object]:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        details = answer.json()
        assert details["status"] == status
        assert details["type"].startswith("urn:sasam:")
        assert details["title"]
        assert details["detail"]
        assert "Traceback" not in answer.text
        return dict(details)

    return check
