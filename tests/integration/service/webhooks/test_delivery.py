"""Messages of ended sweeps to a receiver on this machine; the tests play the clock."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from service.backup.pruning import prune
from service.security.errors import SecretFileError
from service.settings import Settings
from service.states import Command, SweepState
from service.storage import Database, SweepRow
from service.storage.webhook_tables import DeliveryRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import SweepService
from service.webhooks.delivery import PAUSES_SECONDS, Webhooks
from service.webhooks.signature import signed_headers
from workers.spec import load_spec

KEY = "0123456789abcdef" * 2
SPECIFICATION = """
name: small
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [0.1], weight_decay: [0]}
training: {epochs: 1, batch_size: 64, augmentation: none}
tags: {owner: vision}
"""


class Receiver:
    """Stores messages; responds as configured."""

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): text for name, text in self.headers.items()}
                receiver.messages.append((headers, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.server.shutdown()
    started.server.server_close()
    started.thread.join()


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver) -> Settings:
    (tmp_path / "key").write_text(KEY)
    return Settings.model_validate(
        {
            "home": tmp_path,
            "webhook_urls": receiver.url,
            "webhook_secret_file": tmp_path / "key",
            "webhook_private_addresses": True,
        }
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.resolved_database_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def webhooks(database: Database, settings: Settings) -> Webhooks:
    return Webhooks(database, settings)


def end(database: Database, settings: Settings, sweep_id: str | None = None) -> str:
    """Let a sweep, a new one where none is given, end."""
    if sweep_id is None:
        sweep_id = SweepService(database, settings).submit(load_spec(SPECIFICATION))[0].sweep_id
    with database.transaction() as session:
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.FAILED, reason="no GPU")
    return sweep_id


def hurry(database: Database) -> None:
    """Let every pause be over."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    with database.transaction() as session:
        pending = DeliveryRow.due_at.is_not(None)
        session.execute(update(DeliveryRow).where(pending).values(due_at=past))


def deliveries(database: Database) -> list[DeliveryRow]:
    with database.snapshot() as session:
        return list(session.scalars(select(DeliveryRow).order_by(DeliveryRow.number)).all())


def test_end_of_a_sweep_is_notified_once_and_signed(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    SweepService(database, settings).submit(load_spec(SPECIFICATION))  # goes on
    sweep_id = end(database, settings)
    assert [webhooks.deliver() for _ in range(3)] == [1, 0, 0]
    ((headers, body),) = receiver.messages
    message = json.loads(body)
    assert message["type"] == "sweep.failed"
    assert message["data"]["sweep_id"] == sweep_id
    assert message["data"]["reason"] == "no GPU"
    assert message["data"]["tags"] == {"owner": "vision"}
    moment = int(headers["webhook-timestamp"])
    assert abs(datetime.now(UTC).timestamp() - moment) < 60
    expected = signed_headers(KEY.encode(), headers["webhook-id"], moment, body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    (row,) = deliveries(database)
    assert (row.attempts, row.due_at, row.error) == (1, None, None)
    assert row.delivered_at is not None


def test_retried_sweep_is_notified_again(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    sweep_id = end(database, settings)
    webhooks.deliver()
    SweepService(database, settings).command(sweep_id, Command.RETRY_FAILED)
    assert webhooks.deliver() == 0
    end(database, settings, sweep_id)
    assert webhooks.deliver() == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.messages)
    assert first != second


def test_refused_message_is_sent_again_under_its_id_after_a_restart(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    end(database, settings)
    receiver.status = 500
    assert webhooks.deliver() == 0
    assert webhooks.deliver() == 0  # not due yet
    assert len(receiver.messages) == 1
    (row,) = deliveries(database)
    assert row.error == "answered 500"
    assert row.due_at is not None
    hurry(database)
    receiver.status = 200
    assert Webhooks(database, settings).deliver() == 1
    first, second = (headers["webhook-id"] for headers, _ in receiver.messages)
    assert first == second
    assert receiver.messages[0][1] == receiver.messages[1][1]


@pytest.mark.parametrize(("status", "tries"), [(503, len(PAUSES_SECONDS) + 1), (410, 1), (302, 8)])
def test_message_is_given_up_after_the_last_attempt_or_status_410(
    database: Database,
    settings: Settings,
    webhooks: Webhooks,
    receiver: Receiver,
    status: int,
    tries: int,
) -> None:
    end(database, settings)
    receiver.status = status
    for _ in range(12):
        webhooks.deliver()
        hurry(database)
    assert len(receiver.messages) == tries
    (row,) = deliveries(database)
    assert (row.due_at, row.delivered_at) == (None, None)


def test_message_whose_last_try_was_cut_short_is_given_up_too(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    end(database, settings)
    receiver.status = 503
    webhooks.deliver()
    with database.transaction() as session:
        session.execute(update(DeliveryRow).values(attempts=len(PAUSES_SECONDS) + 1))
    hurry(database)
    webhooks.deliver()
    assert deliveries(database)[0].due_at is None


def test_pruned_messages_are_not_sent_again(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    end(database, settings)
    for _ in range(3):
        webhooks.deliver()
        prune(database, settings, timedelta(0))
    assert len(receiver.messages) == 1


def test_stop_does_not_wait_for_all_that_is_due(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    end(database, settings)
    webhooks.stop()
    assert webhooks.deliver() == 0
    assert receiver.messages == []


def test_many_services_send_a_message_once(
    database: Database, settings: Settings, receiver: Receiver
) -> None:
    for _ in range(3):
        end(database, settings)
    several = [Webhooks(database, settings) for _ in range(4)]
    sent: list[int] = []
    threads = [threading.Thread(target=lambda w=w: sent.append(w.deliver())) for w in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.messages}) == 3
    assert len(receiver.messages) == 3


def test_private_receiver_gets_nothing_unless_allowed(
    database: Database, settings: Settings, receiver: Receiver
) -> None:
    strict = settings.model_copy(update={"webhook_private_addresses": False})
    end(database, settings)
    Webhooks(database, strict).deliver()
    assert receiver.messages == []
    (row,) = deliveries(database)
    assert row.error is not None
    assert "which is not public" in row.error


def test_old_end_is_not_notified(
    database: Database, settings: Settings, webhooks: Webhooks, receiver: Receiver
) -> None:
    end(database, settings)
    old = datetime.now(UTC) - timedelta(days=2)
    with database.transaction() as session:
        session.execute(update(SweepRow).values(ended_at=old))
    assert webhooks.deliver() == 0
    assert receiver.messages == []


def test_urls_without_a_key_are_refused(settings: Settings, database: Database) -> None:
    keyless = settings.model_copy(update={"webhook_secret_file": None})
    with pytest.raises(SecretFileError, match="SASAM_WEBHOOK_SECRET_FILE"):
        Webhooks(database, keyless)


def test_thread_delivers_by_itself_and_ends(
    database: Database,
    settings: Settings,
    webhooks: Webhooks,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.webhooks.delivery._POLL_SECONDS", 0.01)
    sent = threading.Event()
    settle: Any = webhooks._settle

    def settle_and_tell(*given: Any, **values: Any) -> None:
        settle(*given, **values)
        sent.set()

    monkeypatch.setattr(webhooks, "_settle", settle_and_tell)
    webhooks.start()
    end(database, settings)
    assert sent.wait(10)
    webhooks.stop()
    assert not webhooks._thread.is_alive()
    assert len(receiver.messages) == 1
