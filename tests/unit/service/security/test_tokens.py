"""Tokens, sessions, the administrator's token, and when tokens are required."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from service.security.access import Principal, Role
from service.security.authentication import Authentication, prepare
from service.security.errors import ExposedError, SecretFileError, TokenError
from service.security.sessions import Sessions
from service.security.tokens import Tokens
from service.settings import Settings
from service.storage import Database
from service.storage.security_tables import SessionRow, TokenRow

SECRET = "0123456789abcdef" * 4


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database)


def expire(database: Database, table: type[TokenRow] | type[SessionRow]) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with database.transaction() as session:
        session.execute(update(table).values(expires_at=past))


def test_token_identifies_its_owner_and_is_not_stored(tokens: Tokens, database: Database) -> None:
    token = tokens.create("alice", Role.SUBMIT)
    assert tokens.identify(token) == Principal("alice", Role.SUBMIT)
    (row,) = tokens.all()
    assert token not in {row.name, row.digest}
    assert row.last_used_at is not None
    file = Path(str(database.url.database))
    assert not any(token.encode() in path.read_bytes() for path in file.parent.glob("sasam.db*"))


@pytest.mark.parametrize("change", [str.upper, lambda t: t[:-1], lambda t: t + "x", lambda _: ""])
def test_altered_token_is_not_identified(tokens: Tokens, change: object) -> None:
    token = tokens.create("alice", Role.ADMIN)
    assert callable(change)
    assert tokens.identify(change(token)) is None


def test_use_is_recorded_once_a_minute(tokens: Tokens, database: Database) -> None:
    token = tokens.create("alice", Role.READ)
    assert tokens.all()[0].last_used_at is None
    tokens.identify(token)
    first = tokens.all()[0].last_used_at
    tokens.identify(token)
    assert tokens.all()[0].last_used_at == first
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    with database.transaction() as session:
        session.execute(update(TokenRow).values(last_used_at=earlier))
    tokens.identify(token)
    last = tokens.all()[0].last_used_at
    assert last is not None
    assert last > earlier


def test_expired_token_is_not_identified(tokens: Tokens, database: Database) -> None:
    token = tokens.create("alice", Role.READ, lifetime=timedelta(hours=1))
    assert tokens.identify(token) is not None
    expire(database, TokenRow)
    assert tokens.identify(token) is None


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "local", "bootstrap", "a\n"])
def test_bad_name_is_refused(tokens: Tokens, name: str) -> None:
    with pytest.raises(TokenError, match="no token can be named"):
        tokens.create(name, Role.READ)


def test_name_taken_lifetime_over_or_unknown_name_are_refused(tokens: Tokens) -> None:
    tokens.create("alice", Role.READ)
    with pytest.raises(TokenError, match="there is a token named 'alice'"):
        tokens.create("alice", Role.READ)
    with pytest.raises(TokenError, match="positive time"):
        tokens.create("bob", Role.READ, lifetime=timedelta(0))
    with pytest.raises(TokenError, match="no token is named 'bob' \\(there are: alice\\)"):
        tokens.revoke("bob")


def test_revoking_a_token_ends_it_and_its_sessions(tokens: Tokens, database: Database) -> None:
    token = tokens.create("alice", Role.SUBMIT)
    sessions = Sessions(database, timedelta(hours=1))
    cookie = sessions.open(Principal("alice", Role.SUBMIT))
    assert sessions.identify(cookie) == Principal("alice", Role.SUBMIT)
    tokens.revoke("alice")
    assert tokens.identify(token) is None
    assert sessions.identify(cookie) is None
    tokens.create("alice", Role.ADMIN)  # the same name is another token
    assert sessions.identify(cookie) is None


@pytest.mark.parametrize("table", [TokenRow, SessionRow])
def test_session_ends_with_its_time_and_its_tokens(
    tokens: Tokens, database: Database, table: type[TokenRow] | type[SessionRow]
) -> None:
    tokens.create("alice", Role.READ)
    sessions = Sessions(database, timedelta(hours=1))
    cookie = sessions.open(Principal("alice", Role.READ))
    assert sessions.identify(cookie) is not None
    expire(database, table)
    assert sessions.identify(cookie) is None


def test_opening_a_session_removes_those_that_are_over(tokens: Tokens, database: Database) -> None:
    tokens.create("alice", Role.READ)
    sessions = Sessions(database, timedelta(hours=1))
    principal = Principal("alice", Role.READ)
    sessions.open(principal)
    expire(database, SessionRow)
    sessions.open(principal)
    with database.snapshot() as session:
        assert session.query(SessionRow).count() == 1


def test_administrators_token_follows_its_file(tokens: Tokens) -> None:
    tokens.bootstrap(SECRET)
    tokens.bootstrap(SECRET)
    assert tokens.identify(SECRET) == Principal("bootstrap", Role.ADMIN)
    tokens.bootstrap(SECRET[::-1])
    assert tokens.identify(SECRET) is None
    assert tokens.identify(SECRET[::-1]) is not None
    tokens.bootstrap(None)
    assert not tokens.exist()


def test_tokens_are_required_from_the_first_one_until_they_are_waived(database: Database) -> None:
    known = Authentication(database, Settings())
    assert not known.is_required()
    known.tokens.create("alice", Role.READ)
    known._checked_at = float("-inf")  # a second later
    assert known.is_required()
    known.tokens.revoke("alice")
    assert known.is_required()
    assert Authentication(database, Settings()).is_required()  # after a restart
    assert known.tokens.waive()
    assert not Authentication(database, Settings()).is_required()
    assert not known.tokens.waive()
    assert Authentication(database, Settings(auth="required")).is_required()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "0 characters"),
        (b"password\n", "8 characters"),
        (b"\xff", "not text"),
    ],
)
def test_bad_secret_file_is_one_line_that_names_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretFileError) as refused:
        prepare(Settings(home=tmp_path, admin_token_file=path))
    message = str(refused.value)
    assert reason in message
    assert str(path) in message
    assert "SASAM_ADMIN_TOKEN_FILE" in message
    assert "\n" not in message


def test_secret_that_everyone_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    for mode, count in ((0o640, 0), (0o644, 1)):
        path.chmod(mode)
        prepare(Settings(home=tmp_path, admin_token_file=path))
        assert len(caplog.records) == count


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "sasam.example"])  # noqa: S104
def test_service_without_tokens_does_not_start_beyond_loopback(tmp_path: Path, host: str) -> None:
    settings = Settings(home=tmp_path, host=host)
    with pytest.raises(ExposedError, match="sasam token create"):
        prepare(settings)
    database = Database(settings.resolved_database_url)
    Tokens(database).create("alice", Role.ADMIN)
    database.close()
    prepare(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_service_without_tokens_starts_on_loopback(tmp_path: Path, host: str) -> None:
    prepare(Settings(home=tmp_path, host=host))


@pytest.mark.parametrize(
    "values",
    [{"trusted_proxies": ("10.0.0.1",)}, {"allowed_hosts": ("sasam.example",)}],
)
def test_service_without_tokens_does_not_start_behind_a_proxy(
    tmp_path: Path, values: dict[str, tuple[str, ...]]
) -> None:
    (variable,) = values
    with pytest.raises(ExposedError, match=f"SASAM_{variable.upper()} is .*sasam token create"):
        prepare(Settings(home=tmp_path, **values))
    prepare(Settings(home=tmp_path, auth="required", **values))
    prepare(Settings(home=tmp_path))  # the refusal left no token behind


def test_waiving_is_refused_while_there_are_tokens(tokens: Tokens, database: Database) -> None:
    tokens.create("alice", Role.READ)
    expire(database, TokenRow)
    with pytest.raises(TokenError, match="there are: alice"):
        tokens.waive()
    assert Authentication(database, Settings()).is_required()


def test_removing_the_administrators_file_does_not_open_the_service(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    prepare(Settings(home=tmp_path, admin_token_file=file))
    settings = Settings(home=tmp_path)
    prepare(settings)
    database = Database(settings.resolved_database_url)
    assert Tokens(database).all() == []
    assert Authentication(database, settings).is_required()
    database.close()


@pytest.mark.parametrize("left", ["a token", "an audited caller", "nothing"])
def test_migration_keeps_tokens_required_where_they_were(tmp_path: Path, left: str) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sasam.db'}")
    database.migrate("0003")
    statement = {
        "a token": "insert into tokens (name, digest, role, created_at) "
        "values ('alice', 'd', 'read', '2026-01-01')",
        "an audited caller": "insert into audit (at, actor, address, command, status, request_id) "
        "values ('2026-01-01', 'alice', '', '', 200, '')",
        "nothing": "insert into audit (at, actor, address, command, status, request_id) "
        "values ('2026-01-01', 'local', '', '', 200, '')",
    }[left]
    with database.transaction() as session:
        session.execute(text(statement))
    database.migrate()
    assert Tokens(database).are_required() == (left != "nothing")
    database.close()
