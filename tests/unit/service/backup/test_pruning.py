"""Pruning: which files of ended sweeps are removed, and which are kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from service.backup import pruning
from service.backup.pruning import Pruner, prune
from service.settings import Settings
from service.storage import Database, SweepRow

DAY = timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.resolved_database_url)
    made.migrate()
    yield made
    made.close()


def sweep(
    database: Database, settings: Settings, sweep_id: str, state: str, ended: timedelta | None
) -> Path:
    """A sweep with files; ``ended`` is how long ago."""
    now = datetime.now(UTC)
    with database.transaction() as session:
        session.add(
            SweepRow(
                sweep_id=sweep_id,
                name="small",
                specification={},
                tags={},
                state=state,
                priority=0,
                attempt=1,
                failures=0,
                trial_count=1,
                body_hash="",
                created_at=now,
                ended_at=None if ended is None else now - ended,
            )
        )
    return files(settings, sweep_id)


def files(settings: Settings, sweep_id: str) -> Path:
    folder = Path(settings.resolved_storage_path) / "sweeps" / sweep_id
    for name in ("checkpoints", "tune/attempt-1", "data"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"x" * 1000)
    (folder / "journal.jsonl").write_text("{}")
    return folder


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


WHOLE = {"checkpoints", "tune", "data", "journal.jsonl"}


def test_sweeps_that_ended_long_ago_keep_their_journal_alone(
    database: Database, settings: Settings
) -> None:
    for number, state in enumerate(("completed", "failed", "cancelled")):
        sweep(database, settings, f"{number:012x}", state, 3 * DAY)
    kept = [
        sweep(database, settings, "a" * 12, "completed", DAY),
        sweep(database, settings, "b" * 12, "running", None),
        sweep(database, settings, "c" * 12, "queued", 3 * DAY),
        sweep(database, settings, "d" * 12, "paused", 3 * DAY),
    ]
    pruned = prune(database, settings, 2 * DAY)
    assert pruned.sweeps == [f"{number:012x}" for number in range(3)]
    assert pruned.bytes == 3 * 3000
    for sweep_id in pruned.sweeps:
        folder = Path(settings.resolved_storage_path) / "sweeps" / sweep_id
        assert left(folder) == {"journal.jsonl"}
    assert all(left(folder) == WHOLE for folder in kept)
    assert prune(database, settings, 2 * DAY).sweeps == []


def test_sweep_that_is_begun_again_meanwhile_is_left_alone(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sweep(database, settings, "a" * 12, "completed", 3 * DAY)
    second = sweep(database, settings, "b" * 12, "failed", 3 * DAY)
    remove = pruning._remove

    def remove_slowly(path: Path) -> None:
        with database.transaction() as session:
            session.execute(
                update(SweepRow).where(SweepRow.state == "failed").values(state="queued")
            )
        remove(path)

    monkeypatch.setattr(pruning, "_remove", remove_slowly)
    assert prune(database, settings, DAY).sweeps == ["a" * 12]
    assert left(first) == {"journal.jsonl"}
    assert left(second) == WHOLE


def test_dry_run_removes_nothing(database: Database, settings: Settings) -> None:
    folder = sweep(database, settings, "a" * 12, "completed", 3 * DAY)
    assert prune(database, settings, DAY, dry_run=True).sweeps == ["a" * 12]
    assert left(folder) == WHOLE


def test_unknown_sweep_is_judged_by_its_journal(database: Database, settings: Settings) -> None:
    old, new, strange = (files(settings, name * 12) for name in "abc")
    past = (datetime.now(UTC) - 3 * DAY).timestamp()
    os.utime(old / "journal.jsonl", (past, past))
    (strange / "journal.jsonl").unlink()
    assert prune(database, settings, DAY).sweeps == ["a" * 12]
    assert left(old) == {"journal.jsonl"}
    assert left(new) == WHOLE
    assert left(strange) == WHOLE - {"journal.jsonl"}


def test_what_a_killed_run_left_is_removed(database: Database, settings: Settings) -> None:
    folder = sweep(database, settings, "a" * 12, "completed", 3 * DAY)
    (folder / "checkpoints").rename(folder / ".pruned-checkpoints")
    prune(database, settings, DAY)
    assert left(folder) == {"journal.jsonl"}


def test_link_is_removed_and_not_what_it_leads_to(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    folder = sweep(database, settings, "a" * 12, "completed", 3 * DAY)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (folder / "checkpoints" / "link").symlink_to(precious)
    prune(database, settings, DAY)
    assert left(folder) == {"journal.jsonl"}
    assert (precious / "file").read_text() == "kept"


def test_storage_that_is_not_there_has_nothing_to_remove(
    database: Database, settings: Settings
) -> None:
    assert prune(database, settings, DAY).sweeps == []


def test_pruner_prunes_periodically_if_the_setting_is_set(
    database: Database, settings: Settings
) -> None:
    folder = sweep(database, settings, "a" * 12, "completed", 3 * DAY)
    idle = Pruner(database, settings)
    idle.start()
    idle.stop()
    assert left(folder) == WHOLE
    busy = Pruner(database, settings.model_copy(update={"keep_checkpoints_days": 2.0}))
    busy.start()
    deadline = time.monotonic() + 30
    while left(folder) != {"journal.jsonl"}:
        assert time.monotonic() < deadline
    busy.stop()
