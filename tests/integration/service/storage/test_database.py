"""Transactions, snapshots and migrations, on each database."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier, Thread, Timer

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError

import service.storage
from service.storage import Database, SchemaError, SweepRow, TrialRow, require_known_schema
from service.storage.tables import Table
from service.trials.repository import TrialRepository


def sweep(sweep_id: str = "0" * 12, **values: object) -> SweepRow:
    columns: dict[str, object] = {
        "sweep_id": sweep_id,
        "name": "digits",
        "specification": {"name": "digits", "seeds": [0]},
        "tags": {},
        "state": "queued",
        "priority": 0,
        "attempt": 0,
        "failures": 0,
        "trial_count": 1,
        "body_hash": "0" * 64,
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    }
    return SweepRow(**columns | values)


def trial(sweep_id: str = "0" * 12) -> TrialRow:
    return TrialRow(
        sweep_id=sweep_id,
        key="k",
        position=0,
        optimizer="SAM",
        optimizer_name="sam",
        hyperparameters={"learning_rate": 0.1, "optimizer.betas": [0.9, 0.95]},
        learning_rate=0.1,
        weight_decay=None,
        seed=2**32 - 1,
        epoch=0,
        metrics={},
        attempt=0,
    )


def store(database: Database, *rows: Table) -> None:
    for row in rows:
        with database.transaction() as session:
            session.add(row)


def run_migrations(connection: Connection, target: str) -> None:
    config = Config()
    folder = Path(service.storage.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    (command.upgrade if target == "head" else command.downgrade)(config, target)


def test_transaction_on_error_stores_nothing(database: Database) -> None:
    def store_and_fail() -> None:
        with database.transaction() as session:
            session.add(sweep())
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store_and_fail()
    with database.snapshot() as session:
        assert session.get(SweepRow, "0" * 12) is None


def test_row_read_again_is_the_row_written(database: Database) -> None:
    notes = "images are repeated, ß and 像; " * 200
    values = {"data_notes": notes, "hessian_method": "differences"}
    store(database, sweep(not_before=datetime(2026, 1, 1, tzinfo=UTC), **values), trial())
    with database.snapshot() as session:
        stored = session.get(SweepRow, "0" * 12)
        assert stored is not None
        assert stored.created_at == datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
        assert stored.created_at.tzinfo is not None
        assert stored.not_before == datetime(2026, 1, 1, tzinfo=UTC)
        assert stored.specification == {"name": "digits", "seeds": [0]}
        assert (stored.data_notes, stored.hessian_method) == (notes, "differences")
        stored_trial = session.get(TrialRow, ("0" * 12, "k"))
        assert stored_trial is not None
        assert (stored_trial.seed, stored_trial.learning_rate) == (2**32 - 1, 0.1)
        assert stored_trial.weight_decay is None
        assert stored_trial.hyperparameters == {
            "learning_rate": 0.1,
            "optimizer.betas": [0.9, 0.95],
        }


def test_time_of_another_zone_read_again_is_the_same_moment(database: Database) -> None:
    moment = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5)))
    store(database, sweep(created_at=moment))
    with database.snapshot() as session:
        stored = session.get(SweepRow, "0" * 12)
        assert stored is not None
        assert stored.created_at == moment


def test_trial_without_its_sweep_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        store(database, trial())


def test_idempotency_key_twice_is_refused(database: Database) -> None:
    store(database, sweep("a", idempotency_key="once"))
    with pytest.raises(IntegrityError):
        store(database, sweep("b", idempotency_key="once"))


def test_snapshot_sees_one_moment_while_another_session_writes(database: Database) -> None:
    store(database, sweep("a"))
    with database.snapshot() as session:
        assert session.query(SweepRow).count() == 1
        store(database, sweep("b"))
        assert session.query(SweepRow).count() == 1
    with database.snapshot() as session:
        assert session.query(SweepRow).count() == 2


def test_ping_does_not_wait_for_a_writer(database: Database) -> None:
    with database.transaction() as session:
        session.add(sweep())
        session.flush()
        started = datetime.now(UTC)
        database.ping()
        assert datetime.now(UTC) - started < timedelta(seconds=5)


def test_ping_without_a_database_raises(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'missing' / 'sasam.db'}")
    with pytest.raises(OperationalError):
        database.ping()


def test_counter_raised_by_many_threads_loses_no_step(database: Database) -> None:
    store(database, sweep())
    barrier = Barrier(8)

    def count() -> None:
        barrier.wait()
        for _ in range(5):
            with database.transaction() as session:
                row = session.get(SweepRow, "0" * 12, with_for_update=True)
                assert row is not None
                row.attempt += 1

    threads = [Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.snapshot() as session:
        row = session.get(SweepRow, "0" * 12)
        assert row is not None
        assert row.attempt == 40


def test_migrated_schema_is_the_schema_of_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Table.metadata) == []


def test_migrate_twice_changes_nothing(database: Database) -> None:
    store(database, sweep())
    database.migrate()
    with database.snapshot() as session:
        assert session.get(SweepRow, "0" * 12) is not None


def test_migrations_down_and_up_again_leave_and_make_the_tables(database: Database) -> None:
    with database.engine.begin() as connection:
        run_migrations(connection, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.migrate()
    with database.engine.connect() as connection:
        assert {"sweeps", "trials"} <= set(inspect(connection).get_table_names())


def test_rows_of_a_release_without_other_axes_get_hyperparameters_and_tags(
    empty: Database,
) -> None:
    empty.migrate("0006")
    with empty.transaction() as session:
        plain = MetaData()
        plain.reflect(session.connection(), only=["sweeps"])
        sweeps = plain.tables["sweeps"]
        row = {column.name: None for column in sweeps.columns} | {
            **{"sweep_id": "0" * 12, "name": "digits", "specification": {"tags": {"a": "b"}}},
            **{
                "state": "queued",
                "priority": 0,
                "attempt": 0,
                "failures": 0,
                "trial_count": 1,
                "body_hash": "0",
            },
            **{"created_at": datetime(2026, 1, 2, tzinfo=UTC), "last_event": 0},
            "accepts_changes": False,
        }
        session.execute(sweeps.insert(), row)
    rows = "insert into trials (sweep_id, key, position, optimizer, optimizer_name, learning_rate, "
    rows += "weight_decay, seed, epoch, metrics, attempt) values (:sweep, :key, :position, 'sam', "
    rows += "'sam', :rate, :decay, 0, 0, '{}', 0)"
    with empty.engine.begin() as connection:
        for at in range(3):
            found = {"sweep": "0" * 12, "key": f"k{at}", "position": at, "rate": 10.0**-at}
            connection.execute(text(rows), found | {"decay": 1e-8})
    empty.migrate()
    with empty.snapshot() as session:
        assert session.get_one(SweepRow, "0" * 12).tags == {"a": "b"}
        trials = TrialRepository(session).of_sweep("0" * 12)
        assert [trial.hyperparameters for trial in trials] == [
            {"learning_rate": 10.0**-at, "weight_decay": 1e-8} for at in range(3)
        ]
        # As text they are what this release writes: the configurations of a sweep are compared so.
        (stored, *_) = session.scalars(text("select hyperparameters from trials order by position"))
        written = json.dumps({"learning_rate": 1.0, "weight_decay": 1e-8})
        assert (stored if isinstance(stored, str) else json.dumps(stored)) == written
    with empty.transaction() as session:
        session.get_one(TrialRow, ("0" * 12, "k1")).weight_decay = None
    with empty.engine.begin() as connection:
        run_migrations(connection, "0006")
        kept = connection.execute(text("select key from trials order by key")).scalars().all()
        assert kept == ["k0", "k2"]


def test_services_that_start_at_once_on_an_empty_database_all_find_the_tables(url: str) -> None:
    databases = [Database(url) for _ in range(6)]
    barrier = Barrier(len(databases))

    def start(database: Database) -> None:
        barrier.wait()
        database.migrate()

    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(start, databases))
    store(databases[0], sweep())
    for database in databases:
        with database.snapshot() as session:
            assert session.get(SweepRow, "0" * 12) is not None
        database.close()


def test_new_sqlite_file_that_another_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    end = Timer(0.3, other.execute, ["rollback"])
    end.start()
    database = Database(f"sqlite:///{path}")
    database.migrate()
    end.join()
    other.close()
    database.ping()
    database.close()


def test_database_of_a_newer_version_is_refused_in_one_line(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(SchemaError, match=r"revision 9999.* run the version that wrote it") as info:
        database.migrate()
    assert "\n" not in str(info.value)
    with pytest.raises(SchemaError, match="revision 9999"):
        require_known_schema(database.url.render_as_string(hide_password=False))


def test_database_that_is_not_there_is_not_newer_and_is_not_made(tmp_path: Path) -> None:
    require_known_schema(f"sqlite:///{tmp_path / 'none.db'}")
    assert not [*tmp_path.iterdir()]


def test_migrate_leaves_the_logging_of_the_process_alone(empty: Database) -> None:
    import logging

    before = logging.getLogger("service").isEnabledFor(logging.WARNING)
    empty.migrate()
    assert logging.getLogger("service").isEnabledFor(logging.WARNING) == before
    assert not logging.getLogger("service").disabled
