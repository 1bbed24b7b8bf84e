"""Options and arguments shared by commands, the check of a choice, and examples for the help."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from service.cli.completion import sweep_ids
from service.cli.connection import LATEST
from service.cli.errors import CliError, ExitStatus
from service.cli.output import OutputFormat

__all__ = ["Output", "SweepArgument", "SweepOrLatest", "Url", "examples", "require_known"]

Command = TypeVar("Command", bound=Callable[..., Any])


Url = Annotated[
    str | None,
    typer.Option(
        envvar="SASAM_URL",
        help="Address of the service; by default the one that runs on this machine.",
        show_default=False,
    ),
]
Output = Annotated[
    OutputFormat,
    typer.Option("--output", "-o", help="Format of the output; --json is --output json."),
]
SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help=f"Name or id of a sweep, the beginning of its id, or '{LATEST}'.",
        autocompletion=sweep_ids,
    ),
]
SweepOrLatest = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="Name or id of a sweep, or the beginning of its id.",
        show_default=True,
        autocompletion=sweep_ids,
    ),
]


def require_known(kind: str, value: str, known: Sequence[str]) -> str:
    """Return ``value`` if it is one of the known ones.

    Args:
        kind: The noun for messages, such as "state".
        value: The value given by the user.
        known: All allowed values.

    Raises:
        CliError: It is not; the message lists the allowed values and the nearest one.
    """
    if value in known:
        return value
    near = difflib.get_close_matches(value, known, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise CliError(
        f"unknown {kind} {value[:40]!r}{guess} (known: {', '.join(known)})", ExitStatus.USAGE
    )


def examples(*lines: str) -> Callable[[Command], Command]:
    """Attach examples to a command, which its help shows."""

    def attach(command: Command) -> Command:
        command.examples = lines  # type: ignore[attr-defined]  # read by ``application``
        return command

    return attach
