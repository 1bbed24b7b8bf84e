"""Commands on the tokens of a service, which work on its database: create, list, revoke, waive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import Output, examples
from service.cli.output import OutputFormat, echo, write

if TYPE_CHECKING:
    from service.security.tokens import Tokens

__all__ = ["RoleName", "create", "list_", "revoke", "waive"]

Name = Annotated[str, typer.Argument(help="Name of the token, such as its user or program.")]


class RoleName(StrEnum):
    """Role of a token; each includes the roles before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@examples("sasam token create alice --role submit --days 90", "sasam token create ci > ci.token")
def create(
    name: Name,
    role: Annotated[
        RoleName,
        typer.Option(
            help="read: view sweeps; submit: also submit and control them; admin: also delete, "
            "repair and view the audit log."
        ),
    ] = RoleName.SUBMIT,
    days: Annotated[
        float | None,
        typer.Option(help="Days for which it is valid.", show_default="until it is revoked"),
    ] = None,
) -> None:
    """Create a token and print it; it cannot be shown again."""
    from service.security.access import Role

    with _tokens() as tokens:
        lifetime = None if days is None else timedelta(days=days)
        echo(tokens.create(name, Role(role), lifetime=lifetime))


@examples("sasam token list", "sasam token list -o json")
def list_(output: Output = OutputFormat.TABLE) -> None:
    """List the tokens: role, expiry, last use; never the tokens themselves."""
    with _tokens() as tokens:
        rows = [
            {
                "name": row.name,
                "role": row.role,
                "created_at": _text(row.created_at),
                "expires_at": _text(row.expires_at),
                "last_used_at": _text(row.last_used_at),
            }
            for row in tokens.all()
        ]
        are_required = tokens.are_required()
    if output is not OutputFormat.TABLE:
        write(rows, output)
    elif not rows:
        state = (
            "the service requires one and refuses every caller; `sasam token waive` lifts this"
            if are_required
            else "the service answers only this machine"
        )
        echo(f"there are no tokens; {state}", err=True)
    else:
        _print(rows)


@examples("sasam token revoke alice")
def revoke(name: Name) -> None:
    """Revoke a token and its logins; after the last one, the service still requires tokens."""
    with _tokens() as tokens:
        tokens.revoke(name)


@examples("sasam token waive")
def waive() -> None:
    """Stop requiring tokens: from its next start the service answers only this machine.

    Refused while there are tokens.
    """
    with _tokens() as tokens:
        was_required = tokens.waive()
    echo(
        "tokens are no longer required; restart the service"
        if was_required
        else "tokens were not required"
    )


@contextmanager
def _tokens() -> Iterator[Tokens]:
    """Open the tokens of the service whose settings are in the environment."""
    from service.embedded.privacy import tighten
    from service.security.tokens import Tokens
    from service.settings import Settings
    from service.storage import Database

    settings = Settings()
    tighten(settings.home)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        yield Tokens(database)
    finally:
        database.close()


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _print(rows: list[dict[str, str | None]]) -> None:
    from rich.table import Table

    from service.cli.console import console

    table = Table(*(name.removesuffix("_at") for name in rows[0]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(value or "–" for value in row.values()))
    console().print(table)
