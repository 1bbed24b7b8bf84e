"""Who may submit code of their own, by setting and role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from service.app import create_app
from service.security.access import Role
from service.storage import SweepRow
from tests.support.guarded_site import open_site, settings_for

SWEEPS = "/api/v1/sweeps"
FROM_FILE: dict[str, Any] = {
    "name": "own",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": ["./mine.py:Mine"],
    "search": {"learning_rate": [0.1], "weight_decay": [0]},
    "files": {"mine.py": "class Mine: pass\nraise SystemExit  # the service does not run it\n"},
}
FROM_MODULE = {name: part for name, part in FROM_FILE.items() if name != "files"} | {
    "optimizers": ["msgd"],
    "model": "package.module:Net",
}
REFUSALS = {
    "off": "must not be code of your own: this service accepts none (SASAM_ALLOW_CODE=off)",
    "auto": "must not be code of your own: a service with tokens accepts none unless "
    "SASAM_ALLOW_CODE is admin or submit",
    "admin": "must not be code of your own for the role submit: only the role admin may submit "
    "some (SASAM_ALLOW_CODE=admin)",
}


@pytest.mark.parametrize(
    ("setting", "local", "submitter", "admin"),
    [
        ("auto", True, False, False),
        ("off", False, False, False),
        ("admin", True, False, True),
        ("submit", True, True, True),
    ],
)
def test_code_is_accepted_by_setting_and_role(
    setting: str, local: bool, submitter: bool, admin: bool, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "open", allow_code=setting)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        _check(client, {}, setting, allowed=local)
    settings = settings_for(tmp_path / "guarded", allow_code=setting)
    with open_site(settings) as site:
        for role, allowed in ((Role.SUBMIT, submitter), (Role.ADMIN, admin)):
            headers = {"Authorization": f"Bearer {site.tokens[role]}"}
            _check(site.client, headers, setting, allowed=allowed)


def _check(client: TestClient, headers: dict[str, str], setting: str, *, allowed: bool) -> None:
    """Submit code in every way that there is."""
    for specification, path, name in (
        (FROM_FILE, "optimizers[0].name", "mine.py:Mine"),
        (FROM_MODULE, "model.name", "package.module:Net"),
    ):
        text = json.dumps(specification)
        before = _stored(client)
        for dry_run in (True, False):
            answer = client.post(SWEEPS, params={"dry_run": dry_run}, content=text, headers=headers)
            if allowed:
                assert answer.status_code == (200 if dry_run else 201), answer.text
            else:
                assert answer.status_code == 422
                (problem,) = answer.json()["errors"]
                assert problem == {
                    "path": path,
                    "message": REFUSALS[setting],
                    "value": name,
                }
        form = {"specification": text}
        page = client.post("/new/check", data=form, headers=headers).text
        assert ("SASAM_ALLOW_CODE" in page) is not allowed
        assert _stored(client) == before + allowed


def _stored(client: TestClient) -> int:
    """The number of stored sweeps."""
    with client.app.state.services.database.snapshot() as session:  # type: ignore[attr-defined]
        return session.scalar(select(func.count()).select_from(SweepRow)) or 0
