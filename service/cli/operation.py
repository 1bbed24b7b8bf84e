"""Commands on what happens and happened: logs, events, repair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.connection import connect, find_sweep
from service.cli.failures import CliError, ExitStatus
from service.cli.options import LATEST, Output, OutputFormat, SweepOrLatest, Url, examples
from service.cli.output import as_json, echo
from workers.moments import clock_text

if TYPE_CHECKING:
    from service.client import Event, Sweep

__all__ = ["added", "events", "logs", "repair"]

_MOST_LINES = 10_000
_OVERLAP_LINES = 20
_LOOK_SECONDS = 2.0


@examples(
    "sasam logs",
    "sasam logs latest --follow",
    "sasam logs 1f0c2a9b77d4 --trial 5f2b9c01 --tail 50",
)
def logs(
    sweep: SweepOrLatest = LATEST,
    trial: Annotated[
        str | None, typer.Option(help="Of this ended trial, by its key, instead of the drivers.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what comes until the sweep has ended.")
    ] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only of this driver.")] = None,
    tail: Annotated[
        int, typer.Option(min=1, max=_MOST_LINES, help="At most so many lines of each.")
    ] = 500,
    url: Url = None,
) -> None:
    """Show what the drivers of a sweep printed, or what a trial logged."""
    if follow and (trial is not None or attempt is not None):
        raise CliError("--follow goes with neither --trial nor --attempt", ExitStatus.USAGE)
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if not follow:
            text = found.logs(trial, attempt=attempt, tail=tail)
            echo(text, nl=False)
            if not text:
                echo("sasam: there is no log (yet)", err=True)
            return
        for text in _news(found, tail):
            echo(text, nl=False)


@examples("sasam events", "sasam events latest --output json | jq .kind")
def events(
    sweep: SweepOrLatest = LATEST,
    after: Annotated[int, typer.Option(min=0, help="Only behind the event of this number.")] = 0,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="table or json: one event a line.")
    ] = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Show what happens to a sweep, as it happens, until it has ended."""
    if output not in {OutputFormat.TABLE, OutputFormat.JSON}:
        raise CliError(f"events cannot be written as {output}: table or json", ExitStatus.USAGE)
    with connect(url) as client:
        for event in find_sweep(client, sweep).events(after=after):
            is_json = output is OutputFormat.JSON
            echo(as_json(event.model_dump(mode="json")) if is_json else _line(event))


@examples("sasam repair 1f0c2a9b77d4", "sasam repair --all")
def repair(
    sweep: Annotated[
        str | None,
        typer.Argument(metavar="SWEEP", help="Read its trials again.", show_default=False),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Restore the sweeps that only MLflow knows, deleted too.")
    ] = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Rebuild from MLflow what the database has lost; for administrators."""
    from service.cli.output import write

    if (sweep is None) != every:
        raise CliError("name either a sweep or --all", ExitStatus.USAGE)
    with connect(url) as client:
        done = client.repair() if sweep is None else find_sweep(client, sweep).repair()
    if output is OutputFormat.TABLE:
        sweeps = ", ".join(done.sweeps) or "none"
        echo(f"{done.trials} trials read again from MLflow, of sweeps: {sweeps}")
    else:
        write(done.model_dump(mode="json"), output)
    for problem in done.problems:
        echo(f"sasam: not restored: {problem}", err=True)
    if done.problems:
        raise typer.Exit(ExitStatus.PARTLY_FAILED)


def _news(sweep: Sweep, tail: int) -> Iterator[str]:
    """The end of the present driver's log, and what is added to it."""
    known, attempt = "", 0
    for detail in sweep.follow(poll_seconds=_LOOK_SECONDS):
        if detail.attempt != attempt:
            known, attempt = "", detail.attempt
        if attempt:
            text = sweep.logs(attempt=attempt, tail=_MOST_LINES if known else tail)
            yield added(known, text)
            known = text


def added(known: str, text: str) -> str:
    """What a log's end has that an earlier end of it has not.

    Args:
        known: The earlier one.
        text: The later one; its beginning may have been cut off.
    """
    if text.startswith(known):
        return text[len(known) :]
    last = "".join(known.splitlines(keepends=True)[-_OVERLAP_LINES:])
    place = text.rfind(last)
    return text if place < 0 else text[place + len(last) :]


def _line(event: Event) -> str:
    words = " ".join(f"{name}={_word(value)}" for name, value in event.data.items() if value)
    return f"{clock_text(event.created_at)} {event.number:>5} {event.kind:<8} {words}".rstrip()


def _word(value: Any) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value)
