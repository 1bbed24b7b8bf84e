"""The lease, on each database."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Event, Thread

import pytest
from sqlalchemy import update

from service.execution.lease import Lease, LeaseLostError, leader
from service.storage import Database, LeaseRow

MakeLease = Callable[[str], Lease]


@pytest.fixture
def lease(database: Database) -> MakeLease:
    """Make a lease of a holder."""
    return lambda holder: Lease(database, seconds=60, holder=holder)


def expire(database: Database) -> None:
    """Let the lease's time be over, as if its holder had been stopped."""
    with database.transaction() as session:
        session.execute(update(LeaseRow).values(expires_at=0.0))


def leads(database: Database) -> str | None:
    with database.snapshot() as session:
        return leader(session)


def test_lease_is_held_by_one_until_it_is_released(database: Database, lease: MakeLease) -> None:
    first, second = lease("first"), lease("second")
    assert leads(database) is None
    assert not first.is_held
    assert first.acquire()
    assert not second.acquire()
    assert first.acquire()
    assert (first.is_held, second.is_held, leads(database)) == (True, False, "first")
    first.release()
    assert (first.is_held, leads(database)) == (False, None)
    assert second.acquire()
    assert leads(database) == "second"
    first.release()  # what is not held cannot be released
    assert leads(database) == "second"


def test_lease_that_expired_is_taken_and_its_former_holder_cannot_act(
    database: Database, lease: MakeLease
) -> None:
    stopped, other = lease("stopped"), lease("other")
    assert stopped.acquire()
    stopped.check()
    expire(database)
    with pytest.raises(LeaseLostError, match="stopped does not lead"):
        stopped.check()
    assert other.acquire()
    assert stopped.is_held  # it cannot know better ...
    with pytest.raises(LeaseLostError):  # ... and is kept from acting all the same
        stopped.check()
    assert not stopped.acquire()
    assert not stopped.is_held


def test_holder_that_comes_back_is_another_epoch(database: Database, lease: MakeLease) -> None:
    mine, other = lease("mine"), lease("other")
    assert mine.acquire()
    twin = lease("mine")  # the same name, before a stop that it does not know of
    twin._epoch = mine._epoch
    twin.check()
    for holder in (other, mine):
        expire(database)
        assert holder.acquire()
    mine.check()
    with pytest.raises(LeaseLostError):
        twin.check()


def test_lease_that_expired_unnoticed_is_renewed(database: Database, lease: MakeLease) -> None:
    mine = lease("mine")
    assert mine.acquire()
    expire(database)
    assert mine.acquire()
    mine.check()


def test_guard_undoes_the_transaction_it_fails_in(database: Database, lease: MakeLease) -> None:
    mine = lease("mine")
    assert mine.acquire()
    expire(database)

    def act() -> None:
        with database.transaction() as session:
            session.add(LeaseRow(name="other", holder="", epoch=0, expires_at=0.0))
            session.flush()
            mine.guard(session)

    with pytest.raises(LeaseLostError):
        act()
    with database.snapshot() as session:
        assert session.get(LeaseRow, "other") is None


def test_lease_is_not_taken_between_guard_and_commit(database: Database, lease: MakeLease) -> None:
    mine, other = lease("mine"), lease("other")
    assert mine.acquire()
    assert not other.acquire()
    order: list[str] = []
    is_trying = Event()

    def take() -> None:
        is_trying.set()
        while not other.acquire():
            pass
        order.append("taken")

    with database.transaction() as session:
        mine.guard(session)
        session.execute(update(LeaseRow).values(expires_at=0.0))
        thread = Thread(target=take)
        thread.start()
        assert is_trying.wait(30)
        mine_still = session.get(LeaseRow, "reconciler")
        assert mine_still is not None
        assert mine_still.holder == "mine"
        order.append("acted")
    thread.join()
    assert order == ["acted", "taken"]


def test_of_many_that_want_the_lease_at_once_one_gets_it(
    database: Database, lease: MakeLease
) -> None:
    leases = [lease(str(number)) for number in range(8)]
    barrier = Barrier(len(leases))
    won: list[str] = []

    def take(mine: Lease) -> None:
        barrier.wait()
        if mine.acquire():
            won.append(mine.holder)

    threads = [Thread(target=take, args=(mine,)) for mine in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [leads(database)]


def test_thread_takes_renews_and_gives_back(database: Database) -> None:
    mine = Lease(database, seconds=0.3, holder="mine")
    other = Lease(database, seconds=60, holder="other")
    mine.start()
    while not mine.is_held:
        pass
    first = expiry(database)
    while expiry(database) == first:
        assert not other.acquire()
    mine.stop()
    assert other.acquire()


def test_thread_outlives_a_database_without_tables(
    empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Lease(empty, seconds=0.1, holder="mine")
    mine.start()
    while "cannot be renewed" not in caplog.text:
        pass
    assert not mine.is_held
    empty.migrate()
    while not mine.is_held:
        pass
    mine.stop()


def expiry(database: Database) -> float:
    with database.snapshot() as session:
        row = session.get(LeaseRow, "reconciler")
        assert row is not None
        return row.expires_at
