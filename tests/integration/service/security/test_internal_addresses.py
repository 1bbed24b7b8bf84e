"""Internal addresses and reasons are for administrators and the log; others read the setting."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import text, update

from service.security.access import Role
from service.storage import SweepRow, TrialRow
from tests.support.guarded_site import Site

RAY = "Ray does not answer at SASAM_RAY_ADDRESS"
MLFLOW = "MLflow does not answer at SASAM_MLFLOW_TRACKING_URI"
DATABASE = "the database does not answer at SASAM_DATABASE_URL"


@pytest.fixture
def sweep_id(site: Site) -> str:
    """A sweep whose logs and curves are in Ray and MLflow, which do not answer."""
    sweep_id = site.submit()
    with site.database.transaction() as session:
        session.execute(update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(attempt=1))
        session.execute(
            update(TrialRow).where(TrialRow.sweep_id == sweep_id).values(mlflow_run_id="run")
        )
    return sweep_id


@pytest.fixture
def key(site: Site, sweep_id: str) -> str:
    """The key of the sweep's trial."""
    answer = site.ask("GET", f"/api/v1/sweeps/{sweep_id}/trials", Role.READ)
    return str(answer.json()["trials"][0]["key"])


@pytest.fixture
def renamed_table(site: Site) -> Iterator[None]:
    """A database that refuses every query on sweeps."""
    with site.database.transaction() as session:
        session.execute(text("alter table sweeps rename to renamed"))
    yield
    with site.database.transaction() as session:
        session.execute(text("alter table renamed rename to sweeps"))


def internals(site: Site) -> tuple[str, ...]:
    """Parts of messages that only administrators and the log may have."""
    settings = site.client.app.state.services.settings  # type: ignore[attr-defined]
    return (f":{settings.ray_address.port}", "Connection refused", "no such table")


@pytest.mark.parametrize("role", [Role.READ, Role.SUBMIT])
def test_other_roles_read_the_setting(
    role: Role, site: Site, sweep_id: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for path, message in (
        (f"/api/v1/sweeps/{sweep_id}/logs", RAY),
        (f"/api/v1/sweeps/{sweep_id}/trials/{key}", MLFLOW),
        (f"/sweeps/{sweep_id}/log", RAY),
        (f"/sweeps/{sweep_id}/trials/{key}", MLFLOW),
    ):
        answer = site.ask("GET", path, role, headers={"Accept": "text/html"})
        assert message in answer.text, path
        assert not any(part in answer.text for part in internals(site)), path
    address = internals(site)[0]
    assert f"{RAY} (http://127.0.0.1{address}" in caplog.text
    assert f"{MLFLOW} (http://127.0.0.1{address}" in caplog.text


def test_administrators_read_address_and_reason(site: Site, sweep_id: str, key: str) -> None:
    address = internals(site)[0]
    for path, message in (
        (f"/api/v1/sweeps/{sweep_id}/logs", RAY),
        (f"/api/v1/sweeps/{sweep_id}/trials/{key}", MLFLOW),
    ):
        detail = site.ask("GET", path, Role.ADMIN).json()["detail"]
        assert detail.startswith(f"{message} (http://127.0.0.1{address}"), path


@pytest.mark.usefixtures("renamed_table")
def test_reason_of_the_database_is_for_administrators(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {role: site.ask("GET", "/api/v1/sweeps", role) for role in Role}
    assert {answer.status_code for answer in answers.values()} == {503}
    details = {role: answer.json()["detail"] for role, answer in answers.items()}
    assert details[Role.READ] == details[Role.SUBMIT] == DATABASE
    assert "no such table" in details[Role.ADMIN]
    assert "no such table" in caplog.text


def test_readiness_needs_no_token_and_has_no_address(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    answer = site.ask("GET", "/readyz", None)
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert (checks["ray"], checks["mlflow"]) == (RAY, MLFLOW)
    assert not any(part in answer.text for part in internals(site))
