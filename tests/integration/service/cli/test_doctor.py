"""The command ``doctor``: every check runs, each problem has a remedy."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import machine_checks, service_checks
from service.cli.application import app
from service.cli.checks import CHECKS
from service.cli.findings import Finding, Level
from service.security.access import Role
from service.security.tokens import Tokens
from service.settings import Settings
from service.storage import Database


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run ``doctor`` on a new home, without the seconds that importing PyTorch takes."""
    monkeypatch.setenv("SASAM_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setenv("SASAM_PORT", str(probe.getsockname()[1]))
    monkeypatch.setitem(CHECKS, "PyTorch", lambda _: Finding(Level.OK, "left out"))

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["doctor", *words])

    return run


def findings(answer: Result) -> dict[str, dict[str, Any]]:
    return {found["check"]: found for found in json.loads(answer.stdout)}


def test_doctor_healthy_machine_ends_with_0_and_touches_nothing(
    examine: Any, tmp_path: Path
) -> None:
    answer = examine("-o", "json")
    found = findings(answer)
    assert answer.exit_code == 0, answer.stdout
    assert list(found) == list(CHECKS)
    assert not (tmp_path / "home").exists()
    shown = examine().stdout
    assert all(name in shown for name in CHECKS)


def test_doctor_failed_check_does_not_stop_the_others(
    examine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def breaks(_: Settings) -> Finding:
        raise RuntimeError("first line\nsecond")

    monkeypatch.setitem(CHECKS, "memory", breaks)
    monkeypatch.setenv("SASAM_DATABASE_URL", "sqlite:////proc/nothing/sasam.db")
    monkeypatch.setenv("SASAM_HOST", "192.0.2.1")
    monkeypatch.setenv("SASAM_MIN_FREE_BYTES", str(2**60))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        monkeypatch.setattr(service_checks, "_ANSWER_TIMEOUT_SECONDS", 0.05)
        monkeypatch.setenv("SASAM_HOST", "127.0.0.1")
        monkeypatch.setenv("SASAM_PORT", str(listening.getsockname()[1]))
        answer = examine("-o", "json")
    found = findings(answer)
    assert answer.exit_code == 1
    assert found["memory"] | {"message": "first line", "level": "error"} == found["memory"]
    assert "no sweep starts below" in found["disk"]["message"]
    assert "not as sasam does" in found["service"]["message"]
    assert "SASAM_PORT" in found["service"]["remedy"]
    assert found["Python"]["level"] == "ok"


def test_doctor_names_dependencies_that_a_running_service_does_not_reach(
    examine: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SASAM_PORT", service.url.rpartition(":")[2])
    found = findings(examine("-o", "json"))["service"]
    assert found["level"] == "error"
    assert "ray: " in found["message"]
    assert "mlflow: " in found["message"]
    assert "database" not in found["message"]


def test_doctor_invalid_setting_is_usage(examine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SASAM_RECONCILE_SECONDS", "-1")
    answer = examine()
    assert answer.exit_code == 2
    assert "SASAM_RECONCILE_SECONDS: " in answer.stderr


def test_torch_is_checked_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine_checks.check_torch(Settings())
    assert found.level is Level.OK
    assert found.message[0].isdigit()
    monkeypatch.setattr(machine_checks, "_TORCH_PROGRAM", "raise ImportError('no torch here')")
    missing = machine_checks.check_torch(Settings())
    assert (missing.level, missing.message) == (Level.ERROR, "ImportError: no torch here")
    assert "pytorch.org" in missing.remedy


def test_packages_that_are_missing_or_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    needed = ["numpy>=99", "nothing-like-it>=1; extra == 'workers'", "left-out; extra == 'docs'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: needed)
    found = machine_checks.check_packages(Settings())
    assert found.level is Level.ERROR
    assert "is not >=99; nothing-like-it is missing" in found.message
    assert "left-out" not in found.message


def test_home_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = service_checks.check_home(Settings(home=Path("/proc/nothing")))
    assert (found.level, found.remedy) == (Level.ERROR, "set SASAM_HOME to a folder of yours")


def test_locale_that_is_not_utf8_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    import locale

    monkeypatch.setattr(locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    found = machine_checks.check_locale(Settings())
    assert (found.level, found.remedy) == (Level.WARNING, "export LC_ALL=C.UTF-8")


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:secret@127.0.0.1:1/sasam", "no url", "sqlite:///broken.db"]
)
def test_database_that_does_not_answer_is_an_error_without_its_password(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.db").write_text("not what it should be, " * 100)
    url = url.replace("broken.db", str(tmp_path / "broken.db"))
    found = service_checks.check_database(Settings(home=tmp_path, database_url=url))
    assert found.level is Level.ERROR
    assert "SASAM_DATABASE_URL" in found.remedy
    assert "secret" not in found.message


def test_doctor_warns_of_an_open_home(examine: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    found = findings(examine("-o", "json"))["home"]
    assert found["level"] == "warning"
    assert "mode 0755" in found["message"]
    assert found["remedy"].startswith("chmod")


@pytest.mark.parametrize("variable", ["SASAM_TRUSTED_PROXIES", "SASAM_ALLOWED_HOSTS"])
def test_doctor_finds_a_proxy_without_tokens(
    examine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, "10.0.0.1")
    found = findings(examine("-o", "json"))["access"]
    assert found["level"] == "error"
    assert variable in found["message"]
    assert "sasam token create" in found["remedy"]
    database = Database(f"sqlite:///{tmp_path / 'home' / 'sasam.db'}")
    database.migrate()
    tokens = Tokens(database)
    tokens.create("alice", Role.ADMIN)
    assert findings(examine("-o", "json"))["access"]["level"] == "ok"
    tokens.revoke("alice")
    database.close()
    found = findings(examine("-o", "json"))["access"]
    assert (found["level"], found["message"]) == (
        "warning",
        "callers need a token, and there is none",
    )


@pytest.mark.parametrize(
    ("setting", "host", "level", "words"),
    [
        ("auto", "127.0.0.1", Level.OK, "from this machine"),
        ("submit", "127.0.0.1", Level.OK, "submit and admin"),
        ("off", "0.0.0.0", Level.OK, "not accepted"),  # noqa: S104 - no service is started
        ("admin", "0.0.0.0", Level.WARNING, "can run code on the cluster"),  # noqa: S104 - same
    ],
)
def test_code_of_users_on_a_reachable_address_is_warned_of(
    setting: str, host: str, level: Level, words: str
) -> None:
    found = service_checks.check_code(Settings(allow_code=setting, host=host))
    assert found.level is level
    assert words in found.message


@pytest.mark.parametrize(("is_set", "status", "level"), [(True, 1, "error"), (False, 0, "warning")])
def test_doctor_port_in_use_is_an_error_only_if_the_user_set_it(
    examine: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    is_set: bool,
    status: int,
    level: str,
) -> None:
    monkeypatch.setattr(service_checks, "_ANSWER_TIMEOUT_SECONDS", 0.05)
    monkeypatch.delenv("SASAM_PORT")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        if is_set:
            monkeypatch.setenv("SASAM_PORT", str(port))
        else:  # as `sasam up` stored it when it was free
            (home / "ports.json").write_text(json.dumps({"service": port}))
        answer = examine("-o", "json")
    found = findings(answer)["service"]
    assert (answer.exit_code, found["level"]) == (status, level), answer.stdout
    assert "another program uses the port" in found["message"]
    assert ("`sasam up` takes a free port" in found["remedy"]) is not is_set
