"""Commands on the tokens that callers of a service show; they work on its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.failures import CliError
from service.cli.options import Output, OutputFormat, examples
from service.cli.output import echo, write

if TYPE_CHECKING:
    from service.security.tokens import Tokens

__all__ = ["RoleName", "create", "list_", "revoke", "waive"]

Name = Annotated[str, typer.Argument(help="Who or what uses the token.")]


class RoleName(StrEnum):
    """What a token allows; each includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@examples("sasam token create alice --role submit --days 90", "sasam token create ci > ci.token")
def create(
    name: Name,
    role: Annotated[
        RoleName,
        typer.Option(
            help="read: see sweeps; submit: also submit and command them; admin: also delete, "
            "repair and see the audit log."
        ),
    ] = RoleName.SUBMIT,
    days: Annotated[
        float | None,
        typer.Option(help="How long it is valid.", show_default="until it is revoked"),
    ] = None,
) -> None:
    """Create a token and print it; it cannot be shown again."""
    from service.security.access import Role

    with _tokens() as tokens:
        lifetime = None if days is None else timedelta(days=days)
        echo(tokens.create(name, Role(role), lifetime=lifetime))


@examples("sasam token list", "sasam token list -o json")
def list_(output: Output = OutputFormat.TABLE) -> None:
    """List the tokens: role, end, last use; never the tokens themselves."""
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
            "the service requires one and refuses every caller; `sasam token waive` ends that"
            if are_required
            else "the service answers this machine alone"
        )
        echo(f"there are no tokens; {state}", err=True)
    else:
        _print(rows)


@examples("sasam token revoke alice")
def revoke(name: Name) -> None:
    """Revoke a token, and with it the logins it opened; tokens remain required after the last."""
    with _tokens() as tokens:
        tokens.revoke(name)


@examples("sasam token waive")
def waive() -> None:
    """Require no token any more: from its next start the service answers this machine alone.

    Refused while there are tokens.
    """
    with _tokens() as tokens:
        was_required = tokens.waive()
    typer.echo(
        "no token is required any more; restart the service"
        if was_required
        else "no token was required"
    )


@contextmanager
def _tokens() -> Iterator[Tokens]:
    """The tokens of the service whose settings are in the environment.

    Raises:
        CliError: What was asked for cannot be.
    """
    from service.embedded.privacy import tighten
    from service.security.errors import SecurityError
    from service.security.tokens import Tokens
    from service.settings import Settings
    from service.storage import Database

    settings = Settings()
    tighten(settings.home)
    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        yield Tokens(database)
    except SecurityError as error:
        raise CliError(str(error)) from error
    finally:
        database.close()


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def _print(rows: list[dict[str, str | None]]) -> None:
    from rich.table import Table

    from service.cli.rendering import console

    table = Table(*(name.removesuffix("_at") for name in rows[0]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(value or "–" for value in row.values()))
    console().print(table)
