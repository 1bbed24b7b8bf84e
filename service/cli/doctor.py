"""The command ``doctor``: checks of this machine and the service, each problem with a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from service.cli.errors import ExitStatus
from service.cli.findings import Check, Finding, Level
from service.cli.options import Output, examples
from service.cli.output import OutputFormat, write
from service.first_line import first_line

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


@examples("sasam doctor", "sasam doctor --output json")
def doctor(output: Output = OutputFormat.TABLE) -> None:
    """Check this machine: versions, GPUs, database, disk, memory, ports.

    Exits with 1 if there is an error; warnings do not count.
    """
    from service.cli.checks import CHECKS
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
    """Run a check; an exception that it raises becomes an error."""
    try:
        return check(settings)
    except Exception as failure:  # noqa: BLE001 - the other checks run all the same
        return Finding(Level.ERROR, first_line(failure))


def _print(findings: dict[str, Finding]) -> None:
    from rich.text import Text

    from service.cli.console import console
    from service.cli.tables import table

    shown = table("check", "", "found")
    for name, found in findings.items():
        text = Text(found.message)
        if found.remedy:
            text.append(f"\n→ {found.remedy}", style="bold")
        shown.add_row(name, Text(found.level, style=_STYLES[found.level]), text)
    console().print(shown)
