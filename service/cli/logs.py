"""Commands that show the logs and the events of a sweep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError, ExitStatus
from service.cli.options import SweepOrLatest, Url, examples
from service.cli.output import OutputFormat, as_json, echo
from workers.moments import clock_text

if TYPE_CHECKING:
    from service.client import Event, Sweep

__all__ = ["added_text", "events", "logs"]

_MAX_LINES = 10_000
_OVERLAP_LINES = 20
_POLL_SECONDS = 2.0


@examples(
    "sasam logs",
    "sasam logs latest --follow",
    "sasam logs 1f0c2a9b77d4 --trial 5f2b9c01 --tail 50",
)
def logs(
    sweep: SweepOrLatest = LATEST,
    trial: Annotated[
        str | None, typer.Option(help="Key of an ended trial, to show its log instead.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new lines until the sweep has ended.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Only the driver of this attempt.")
    ] = None,
    tail: Annotated[
        int, typer.Option(min=1, max=_MAX_LINES, help="Show at most this many lines of each log.")
    ] = 500,
    url: Url = None,
) -> None:
    """Show the logs of a sweep's drivers, or of a trial."""
    if follow and (trial is not None or attempt is not None):
        raise CliError("--follow cannot be combined with --trial or --attempt", ExitStatus.USAGE)
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if not follow:
            text = found.logs(trial, attempt=attempt, tail=tail)
            echo(text, nl=False)
            if not text:
                echo("sasam: there is no log (yet)", err=True)
            return
        for text in _new_text(found, tail):
            echo(text, nl=False)


@examples("sasam events", "sasam events latest --output json | jq .kind")
def events(
    sweep: SweepOrLatest = LATEST,
    after: Annotated[int, typer.Option(min=0, help="Only events after this number.")] = 0,
    output: Annotated[
        OutputFormat, typer.Option("--output", "-o", help="table or json: one event per line.")
    ] = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Show the events of a sweep as they occur, until it has ended."""
    if output not in {OutputFormat.TABLE, OutputFormat.JSON}:
        raise CliError(f"events cannot be written as {output}: table or json", ExitStatus.USAGE)
    with connect(url) as client:
        for event in find_sweep(client, sweep).events(after=after):
            is_json = output is OutputFormat.JSON
            echo(as_json(event.model_dump(mode="json")) if is_json else _line(event))


def _new_text(sweep: Sweep, tail: int) -> Iterator[str]:
    """Yield the end of the current driver's log, and then each text that is added to it."""
    known, attempt = "", 0
    for detail in sweep.follow(poll_seconds=_POLL_SECONDS):
        if detail.attempt != attempt:
            known, attempt = "", detail.attempt
        if attempt:
            text = sweep.logs(attempt=attempt, tail=_MAX_LINES if known else tail)
            yield added_text(known, text)
            known = text


def added_text(known: str, text: str) -> str:
    """Return the text that was appended to a log between two reads of its end.

    Args:
        known: Result of the earlier read.
        text: Result of the later read, whose beginning may have been cut off.
    """
    if text.startswith(known):
        return text[len(known) :]
    last = "".join(known.splitlines(keepends=True)[-_OVERLAP_LINES:])
    place = text.rfind(last)
    return text if place < 0 else text[place + len(last) :]


def _line(event: Event) -> str:
    """Format an event as one line."""
    values = " ".join(f"{name}={_value(value)}" for name, value in event.data.items() if value)
    return f"{clock_text(event.created_at)} {event.number:>5} {event.kind:<8} {values}".rstrip()


def _value(value: Any) -> str:
    """Return a string without spaces as it is, any other value as JSON."""
    return value if isinstance(value, str) and " " not in value else json.dumps(value)
