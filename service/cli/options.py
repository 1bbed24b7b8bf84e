"""Options that many commands share, and examples for their help."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from service.cli.completion import LATEST, sweep_ids

__all__ = ["LATEST", "Output", "OutputFormat", "SweepArgument", "SweepOrLatest", "Url", "examples"]

Command = TypeVar("Command", bound=Callable[..., Any])


class OutputFormat(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="SASAM_URL",
        help="Address of the service; by default the one that runs on this machine.",
        show_default=False,
    ),
]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How the answer is written.")]
SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help=f"Id of a sweep, or '{LATEST}'.", autocompletion=sweep_ids
    ),
]
SweepOrLatest = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="Id of a sweep.", show_default=True, autocompletion=sweep_ids
    ),
]


def examples(*lines: str) -> Callable[[Command], Command]:
    """Give a command examples that its help shows."""

    def attach(command: Command) -> Command:
        command.examples = lines  # type: ignore[attr-defined]
        return command

    return attach
