"""The command that says what is wrong with this machine, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from service.cli.failures import ExitStatus
from service.cli.options import Output, OutputFormat, examples

if TYPE_CHECKING:
    from service.cli.checks import Check, Finding
    from service.settings import Settings

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@examples("sasam doctor", "sasam doctor --output json")
def doctor(output: Output = OutputFormat.TABLE) -> None:
    """Check this machine: versions, GPUs, database, disk, memory, ports; 1 if something is wrong.

    Warnings are no errors.
    """
    from service.cli.checks import CHECKS, Level
    from service.cli.output import write
    from service.settings import Settings

    settings = Settings()
    findings = {name: _run(check, settings) for name, check in CHECKS.items()}
    if output is OutputFormat.TABLE:
        _print(findings)
    else:
        write(
            [
                {"check": name, "level": found.level, "message": found.message}
                | {"remedy": found.remedy or None}
                for name, found in findings.items()
            ],
            output,
        )
    if any(found.level is Level.ERROR for found in findings.values()):
        raise typer.Exit(ExitStatus.FAILED)


def _run(check: Check, settings: Settings) -> Finding:
    """What a check finds; one that fails has found something, too."""
    from service.cli.checks import Finding, Level

    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001 - all checks run, whatever one meets
        message = str(error).strip().splitlines() or [type(error).__name__]
        return Finding(Level.ERROR, message[0], "")


def _print(findings: dict[str, Finding]) -> None:
    from rich.text import Text

    from service.cli.rendering import console, table

    shown = table("check", "", "found")
    for name, found in findings.items():
        text = Text(found.message)
        if found.remedy:
            text.append(f"\n→ {found.remedy}", style="bold")
        shown.add_row(name, Text(found.level, style=_STYLES[found.level]), text)
    console().print(shown)
