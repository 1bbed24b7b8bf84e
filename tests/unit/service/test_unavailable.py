"""Messages about unavailable dependencies: the public one has no address, the full one has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from service.external.mlflow_gateway import MlflowGateway
from service.external.ray_jobs import RayJobs
from service.settings import Settings
from service.storage import Database
from service.unavailable import UNAVAILABLE, full_message, public_message

CLOSED = "127.0.0.1:1"
CALLS: dict[str, tuple[Callable[[], object], str, str]] = {
    "ray": (
        lambda: RayJobs(Settings(ray_address=f"http://{CLOSED}")).version(),
        "Ray does not answer at SASAM_RAY_ADDRESS",
        CLOSED,
    ),
    "mlflow": (
        lambda: MlflowGateway(f"http://{CLOSED}").ping(),
        "MLflow does not answer at SASAM_MLFLOW_TRACKING_URI",
        CLOSED,
    ),
    "postgresql": (
        lambda: Database(f"postgresql+psycopg://user@{CLOSED}/sasam").ping(),
        "the database does not answer at SASAM_DATABASE_URL",
        "127.0.0.1",
    ),
    "sqlite": (
        lambda: Database("sqlite:////nowhere/sasam.db").ping(),
        "the database does not answer at SASAM_DATABASE_URL",
        "unable to open database file",
    ),
    "token": (
        lambda: RayJobs(Settings(ray_token_path=Path("/nowhere/token"))).version(),
        "Ray's token cannot be read (SASAM_RAY_TOKEN_PATH)",
        "/nowhere/token",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_public_message_names_the_setting_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    call, message, internal = CALLS[name]
    with pytest.raises(UNAVAILABLE) as caught:
        call()
    assert public_message(caught.value) == message
    full = full_message(caught.value)
    assert full.startswith(f"{message} (")
    assert internal in full
    assert "\n" not in full
