"""The application with tokens, on a SQLite file, without Ray and MLflow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.security.access import Role
from service.security.tokens import Tokens
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition

SPECIFICATION = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [0.1], weight_decay: [0]}
training: {epochs: 1, batch_size: 64, augmentation: none}
"""


@dataclass(frozen=True)
class Site:
    """An application that requires tokens.

    Attributes:
        client: A client without a token.
        tokens: One of each role.
        database: Its database.
    """

    client: TestClient
    tokens: dict[Role, str]
    database: Database

    def ask(self, method: str, path: str, role: Role | None, **options: Any) -> httpx.Response:
        """Send a request with a role's token, following no redirect."""
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return self.client.request(method, path, headers=headers, follow_redirects=False, **options)

    def submit(self, *, ended: bool = False) -> str:
        """A new sweep; returns its id."""
        answer = self.ask("POST", "/api/v1/sweeps", Role.SUBMIT, content=SPECIFICATION)
        assert answer.status_code == 201, answer.text
        sweep_id = str(answer.json()["sweep_id"])
        if ended:
            with self.database.transaction() as session:
                assert transition(session, sweep_id, SweepState.QUEUED, SweepState.FAILED)
        return sweep_id


def settings_for(home: Path, **values: Any) -> Settings:
    """Settings of a service whose reconciler does nothing."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    given: dict[str, Any] = {
        "home": home,
        "ray_address": nowhere,
        "mlflow_tracking_uri": nowhere,
        "reconcile_seconds": 3600,
        "requests_per_second": 1e6,
    }
    return Settings(**given | values)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One application for all tests of this folder; each submits its own sweeps."""
    with open_site(settings_for(tmp_path_factory.mktemp("home"))) as opened:
        yield opened


@contextmanager
def open_site(settings: Settings) -> Iterator[Site]:
    """An application with one token of each role."""
    database = Database(settings.resolved_database_url)
    database.migrate()
    tokens = {role: Tokens(database).create(f"{role}er", role) for role in Role}
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield Site(client, tokens, database)
    database.close()
