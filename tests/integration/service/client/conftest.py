"""Clients of a real service, and networks that fail between the two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.client import Client
from tests.support.network import Network
from tests.support.ports import free_port
from tests.support.running_service import Service


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SASAM_URL", "SASAM_TOKEN", "SASAM_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


@pytest.fixture
def unused_port() -> int:
    """A port that no process listens on."""
    return free_port()


@pytest.fixture
def network() -> Network:
    return Network()
