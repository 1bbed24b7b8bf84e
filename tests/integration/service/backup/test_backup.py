"""Backup and restore of a service with a finished sweep, and damaged backups."""

from __future__ import annotations

import io
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from service.app import create_app
from service.backup.archive import restore_backup, write_backup
from service.backup.errors import BackupError
from service.security.access import Role
from service.security.audit import AuditLog
from service.security.authentication import Authentication
from service.security.tokens import Tokens
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.trials.repository import TrialRepository
from tests.support.running_service import offline_settings
from workers.spec import load_spec

SPECIFICATION = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}
training: {epochs: 2, batch_size: 64, augmentation: none}
curvature: null
"""


@pytest.fixture
def settings_in(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a service in a folder of that name, which changes nothing by itself."""
    return lambda name, **values: offline_settings(tmp_path / name, **values)


@pytest.fixture(scope="module")
def filled_in_once(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of a service with a finished sweep."""
    folder = tmp_path_factory.mktemp("filled")
    settings = offline_settings(folder / "old")
    fill(settings)
    write_backup(folder / "backup.tar.gz", settings)
    return (folder / "backup.tar.gz").read_bytes()


@pytest.fixture
def filled_backup(tmp_path: Path, filled_in_once: bytes) -> Path:
    """The file of that backup."""
    file = tmp_path / "backup.tar.gz"
    file.write_bytes(filled_in_once)
    return file


def clean(address: str) -> str:
    """A PostgreSQL database without tables."""
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return address


def fill(settings: Settings) -> tuple[str, Any]:
    """A service with a finished sweep, a token and MLflow's files; returns id and summary."""
    with TestClient(create_app(settings)) as client:
        sweep_id = str(client.post("/api/v1/sweeps", content=SPECIFICATION).json()["sweep_id"])
        database: Database = client.app.state.services.database  # type: ignore[attr-defined]
        with database.transaction() as session:
            for position, trial in enumerate(load_spec(SPECIFICATION).trials):
                accuracy = 0.5 + 0.05 * position
                values = {
                    "outcome": "completed",
                    "epoch": 2,
                    "metrics": {"val_accuracy": accuracy, "epoch_seconds": 0.1 + 0.2},
                    "ended_at": datetime.now(UTC),
                }
                TrialRepository(session).record(sweep_id, trial.key, values)
            states = [SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING]
            for before, after in zip(states, [*states[1:], SweepState.COMPLETED], strict=True):
                assert transition(session, sweep_id, before, after)
        summary = client.get(f"/api/v1/sweeps/{sweep_id}/summary").json()
        assert len(summary["optimizers"]) == 2
        Tokens(database).create("alice", Role.SUBMIT)  # from now on a caller needs one
    settings.home.mkdir(exist_ok=True)
    with closing(sqlite3.connect(settings.home / "mlflow.db")) as mlflow:
        mlflow.execute("create table runs (name text)")
        mlflow.execute("insert into runs values ('kept')")
        mlflow.commit()
    artifact = settings.home / "artifacts" / "1" / "model.txt"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("an artifact")
    return sweep_id, summary


def check(settings: Settings, sweep_id: str, summary: Any) -> None:
    """Check that a restored service has the same results and tokens, and accepts new sweeps."""
    with TestClient(create_app(settings)) as client:
        database: Database = client.app.state.services.database  # type: ignore[attr-defined]
        assert client.get("/api/v1/sweeps").status_code == 401  # its tokens came along
        Tokens(database).revoke("alice")
        assert Authentication(database, settings).is_required()  # so did that they are required
        token = Tokens(database).create("operator", Role.ADMIN)
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.get(f"/api/v1/sweeps/{sweep_id}/summary").json() == summary
        detail = client.get(f"/api/v1/sweeps/{sweep_id}").json()
        assert detail["state"] == "completed"
        assert detail["progress"]["completed"] == 8
        assert len(client.get("/api/v1/audit").json()["entries"]) == 1
        again = client.post("/api/v1/sweeps", content=SPECIFICATION)
        assert again.status_code == 201, again.text
        numbers = [e["number"] for e in client.get("/api/v1/audit").json()["entries"]]
        assert numbers == [2, 1]


@pytest.mark.parametrize(
    ("source", "target"),
    list(itertools.product(("sqlite", "postgresql"), repeat=2)),
)
def test_lost_service_is_restored_elsewhere_on_either_database(
    settings_in: Callable[..., Settings],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    source: str,
    target: str,
) -> None:
    def place(name: str, kind: str) -> Settings:
        if kind == "sqlite":
            return settings_in(name)
        return settings_in(name, database_url=clean(request.getfixturevalue("postgresql")))

    old = place("old", source)
    sweep_id, summary = fill(old)
    file = tmp_path / "backup.tar.gz"
    written = write_backup(file, old, artifacts=True)
    assert (written.rows["sweeps"], written.rows["trials"], written.mlflow) == (1, 8, True)
    assert file.stat().st_mode & 0o077 == 0  # digests of tokens are in it
    new = place("new", target)
    assert restore_backup(file, new) == written
    check(new, sweep_id, summary)
    with closing(sqlite3.connect(new.home / "mlflow.db")) as mlflow:
        assert mlflow.execute("select name from runs").fetchall() == [("kept",)]
    assert (new.home / "artifacts" / "1" / "model.txt").read_text() == "an artifact"
    restored = [new.home, *new.home.rglob("*")]
    assert [path for path in restored if path.stat().st_mode & 0o077] == []


def test_backup_of_a_running_service_holds_one_moment(
    settings_in: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_in("old")
    fill(settings)
    file = tmp_path / "backup.tar.gz"
    database = Database(settings.resolved_database_url)
    audit = AuditLog(database)
    told = {"actor": "a", "address": "", "command": "", "sweep_id": None, "request_id": ""}
    with database.transaction() as session:  # a writer is at work
        session.execute(text("update sweeps set name = 'changed'"))
        write_backup(file, settings)
    audit.record(status=200, **told)  # type: ignore[arg-type]
    database.close()
    with tarfile.open(file) as archive:
        member = archive.extractfile("tables/sweeps.jsonl")
        assert member is not None
        assert json.loads(member.read())["name"] == "small"
        assert "mlflow.db" in archive.getnames()
        assert not any(name.startswith("artifacts") for name in archive.getnames())


@pytest.mark.parametrize("left", ["sasam.db", "mlflow.db", "artifacts"])
def test_home_that_is_not_empty_is_not_overwritten(
    settings_in: Callable[..., Settings], tmp_path: Path, left: str
) -> None:
    old = settings_in("old")
    fill(old)
    file = tmp_path / "backup.tar.gz"
    write_backup(file, old)
    new = settings_in("new")
    new.home.mkdir()
    if left == "sasam.db":
        database = Database(new.resolved_database_url)
        database.migrate()
        database.close()
    else:
        (new.home / left).mkdir()
    before = sorted(path.name for path in new.home.iterdir())
    with pytest.raises(BackupError, match="restore into an empty"):
        restore_backup(file, new)
    assert sorted(path.name for path in new.home.iterdir()) == before


def test_backup_never_replaces_a_file_and_needs_a_service(
    settings_in: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar.gz"
    with pytest.raises(BackupError, match="there is no database"):
        write_backup(file, settings_in("nowhere"))
    assert not file.exists()
    file.write_text("precious")
    with pytest.raises(BackupError, match="exists; choose a file that does not"):
        write_backup(file, settings_in("nowhere"))
    assert file.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["backup.tar.gz"]


def altered(file: Path, **changes: Any) -> None:
    """Write a backup with an altered manifest."""
    manifest = {
        "format": 1,
        "version": "9.9",
        "revision": "0003",
        "created_at": "2026-01-01T00:00:00+00:00",
        "rows": {},
        "mlflow": False,
        "artifacts": False,
    }
    content = json.dumps(manifest | changes).encode()
    with tarfile.open(file, "w:gz") as archive:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        if climbing := changes.get("climbing"):
            archive.addfile(tarfile.TarInfo(climbing), io.BytesIO())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format 2"),
        ({"revision": "9999"}, "newer than this one"),
        ({"unknown": 1}, "damaged"),
        ({"climbing": "../outside"}, "damaged"),
    ],
)
def test_backup_of_another_kind_is_refused(
    settings_in: Callable[..., Settings], tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "backup.tar.gz"
    altered(file, **changes)
    with pytest.raises(BackupError, match=reason):
        restore_backup(file, settings_in("new"))
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "new").exists()
    for content in (b"", b"no archive", file.read_bytes()[:40]):
        file.write_bytes(content)
        with pytest.raises(BackupError, match="damaged"):
            restore_backup(file, settings_in("new"))


def rewritten(file: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """A copy of a backup in which one file is changed, or left out."""
    copy = file.with_name("damaged.tar.gz")
    with tarfile.open(file) as read, tarfile.open(copy, "w:gz") as written:
        members = [m for m in read.getmembers() if m.isfile()]
        contents = {m.name: read.extractfile(m).read() for m in members}  # type: ignore[union-attr]
        changed = change(contents.pop(name, b""))
        for path, content in (contents | ({} if changed is None else {name: changed})).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return copy


def with_value(column: str, value: Any) -> Callable[[bytes], bytes]:
    """Change a column of the first row."""

    def change(content: bytes) -> bytes:
        first, *others = content.splitlines()
        row = json.loads(first) | {column: value}
        return b"\n".join([json.dumps(row).encode(), *others]) + b"\n"

    return change


def without_column(content: bytes) -> bytes:
    row = json.loads(content.splitlines()[0])
    del row["created_at"]
    return json.dumps(row).encode()


def with_manifest(**values: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | values).encode()


SWEEPS, TRIALS, MANIFEST = "tables/sweeps.jsonl", "tables/trials.jsonl", "manifest.json"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (SWEEPS, without_column, "line 1: column 'created_at' is missing; the columns are"),
        (SWEEPS, with_value("colour", 1), "column 'colour' is unknown; the columns are"),
        (SWEEPS, with_value("created_at", "today"), "'created_at' must be a time .* got 'today'"),
        (SWEEPS, with_value("created_at", 5), "'created_at' must be a time with its zone"),
        (SWEEPS, with_value("created_at", "2026-01-01"), "'created_at' must be a time"),
        (SWEEPS, with_value("name", None), "'name' must be text .*, got None"),
        (SWEEPS, with_value("name", "x\0"), "'name' must be text without a zero byte"),
        (SWEEPS, with_value("trial_count", "8"), "'trial_count' must be a whole number"),
        (SWEEPS, with_value("trial_count", True), "'trial_count' must be a whole number"),
        (SWEEPS, with_value("trial_count", 2**40), "'trial_count' must be a whole number of 32"),
        (SWEEPS, with_value("specification", [1]), "'specification' must be a JSON object"),
        (SWEEPS, with_value("state", "lost"), "'state' must be one of .*completed.* got 'lost'"),
        ("tables/tokens.jsonl", with_value("role", "root"), "'role' must be one of read, submit"),
        (SWEEPS, lambda content: content[:50], "line 1: must be a JSON object"),
        (SWEEPS, lambda _: b"[1, 2]\n", "line 1: must be a JSON object, got \\[1, 2\\]"),
        (SWEEPS, lambda _: b"\xff\xfe\n", "line 1: must be a JSON object"),
        (SWEEPS, lambda content: content * 2, "the database refuses a row: UNIQUE"),
        (TRIALS, with_value("sweep_id", "none"), "the database refuses a row: FOREIGN KEY"),
        (TRIALS, lambda content: content[: content.index(b"\n") + 1], "has 1 rows, .* lists 8"),
        (TRIALS, lambda _: None, "tables/trials.jsonl is missing"),
        ("tables/colours.jsonl", lambda _: b"{}", "colours.jsonl is not in manifest.json"),
        ("mlflow.db", lambda _: b"no database" * 100, "mlflow.db must be a SQLite database"),
        ("mlflow.db", lambda _: None, "mlflow.db is missing"),
        (MANIFEST, with_manifest(rows=[]), "manifest.json: rows: .* got \\[\\]"),
        (MANIFEST, with_manifest(rows={"sweeps": "x"}), "manifest.json: rows.sweeps: .* got 'x'"),
        (MANIFEST, with_manifest(revision=None), "manifest.json: revision: .* got None"),
        (MANIFEST, lambda _: b"[]", "manifest.json"),
        (MANIFEST, lambda _: b"{", "damaged"),
    ],
)
def test_damaged_backup_is_refused_in_a_line_and_nothing_is_changed(
    settings_in: Callable[..., Settings],
    filled_backup: Path,
    name: str,
    change: Callable[[bytes], bytes | None],
    reason: str,
) -> None:
    new = settings_in("new")
    with pytest.raises(BackupError, match=reason) as refused:
        restore_backup(rewritten(filled_backup, name, change), new)
    assert "\n" not in str(refused.value)
    assert not new.home.exists()
    assert restore_backup(filled_backup, new).rows["trials"] == 8  # nothing was left of it


def test_commands_back_up_and_restore(settings_in: Callable[..., Settings], tmp_path: Path) -> None:
    old = settings_in("old")
    fill(old)

    def run(home: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from service.cli import main; main()", *words],
            env=os.environ | {"SASAM_HOME": str(tmp_path / home)},
            capture_output=True,
            text=True,
            check=False,
        )

    file = str(tmp_path / "b.tar.gz")
    assert "1 sweep, 8 trials, with MLflow's database" in run("old", "backup", file).stdout
    assert "restored 1 sweep from the backup" in run("new", "restore", file).stdout
    refused = run("new", "restore", file)
    assert refused.returncode == 1
    assert "restore into an empty" in refused.stderr
