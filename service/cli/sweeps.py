"""Commands on sweeps: submit, list, show, watch, and those that change a state."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.completion import preset_names
from service.cli.connection import connect, find_sweep
from service.cli.failures import CliError, ExitStatus, status_of
from service.cli.options import (
    LATEST,
    Output,
    OutputFormat,
    SweepArgument,
    SweepOrLatest,
    Url,
    examples,
)
from service.cli.output import echo

if TYPE_CHECKING:
    from service.client import Client, Sweep

__all__ = ["cancel", "delete", "list_", "pause", "resume", "retry", "show", "submit", "watch"]

_STANDARD_INPUT = "-"

Force = Annotated[
    bool, typer.Option("--force", help="Even though the code is not that of the ended trials.")
]


@examples(
    "sasam submit sweep.yaml --watch",
    "sasam submit --preset digits",
    "sasam presets paper-vgg19 | sasam submit - --dry-run",
)
def submit(
    spec: Annotated[
        str | None,
        typer.Argument(metavar="SPEC", help="File of a specification; '-': standard input."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Submit a preset instead of a file.", autocompletion=preset_names),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check it and say what it would cost.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and specification is the same sweep.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--watch", "-w", help="Wait for its end; the exit status tells it.")
    ] = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Submit a sweep."""
    if (spec is None) == (preset is None):
        raise CliError("name either a specification or a --preset", ExitStatus.USAGE)
    with connect(url) as client:
        text = client.preset(preset).text if preset else _read(str(spec))
        if dry_run:
            from service.cli import rendering

            estimate = client.sweeps.estimate(text)
            if output is OutputFormat.TABLE:
                rendering.console(is_wide=True).print(rendering.dry_run_table(estimate))
            else:
                _write(estimate.model_dump(mode="json"), output)
            return
        sweep = client.sweeps.submit(text, idempotency_key=idempotency_key)
        _show(client, sweep, output)
        if follow:
            _follow(sweep, output)


@examples("sasam list", "sasam list --state running --output json", "sasam list --name digits")
def list_(
    state: Annotated[
        list[str] | None, typer.Option(help="Only sweeps in this state; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only sweeps of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """List sweeps, newest first."""
    from itertools import islice

    from service.cli import rendering
    from service.states import SweepState

    try:
        states = [SweepState(value) for value in state or ()]
    except ValueError as error:
        known = ", ".join(SweepState)
        raise CliError(f"{error} (there are {known})", ExitStatus.USAGE) from None
    with connect(url) as client:
        browse = client.sweeps.browse(states=states, name=name, page_size=min(limit, 200))
        found = list(islice(browse, limit))
    if output is not OutputFormat.TABLE:
        _write([sweep.model_dump(mode="json") for sweep in found], output)
    elif found:
        rendering.console(is_wide=True).print(rendering.sweeps_table(found))
    else:
        rendering.console(stderr=True).print("no sweeps")


@examples("sasam show", "sasam show 1f0c2a9b77d4 --output yaml")
def show(
    sweep: SweepOrLatest = LATEST, output: Output = OutputFormat.TABLE, url: Url = None
) -> None:
    """Show a sweep: state, progress, time left, where to look further."""
    with connect(url) as client:
        _show(client, find_sweep(client, sweep), output)


@examples(
    "sasam watch",
    "sasam watch 1f0c2a9b77d4 && sasam summary 1f0c2a9b77d4",
    "sasam watch latest --exit-on-pause",
)
def watch(
    sweep: SweepOrLatest = LATEST,
    exit_on_pause: Annotated[
        bool,
        typer.Option("--exit-on-pause", help="End with status 4 when it is paused; else wait on."),
    ] = False,
    url: Url = None,
) -> None:
    """Watch a sweep until it has ended; the exit status tells how.

    Ctrl-C ends the watching, not the sweep.
    """
    with connect(url) as client:
        _follow(find_sweep(client, sweep), OutputFormat.TABLE, exit_on_pause=exit_on_pause)


@examples("sasam pause 1f0c2a9b77d4")
def pause(sweep: SweepArgument, output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """Stop the trials of a sweep; 'resume' goes on from their checkpoints."""
    _command(sweep, lambda found: found.pause(), output, url)


@examples("sasam resume 1f0c2a9b77d4")
def resume(
    sweep: SweepArgument,
    force: Force = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Go on with a paused sweep."""
    _command(sweep, lambda found: found.resume(force=force), output, url)


@examples("sasam cancel 1f0c2a9b77d4")
def cancel(sweep: SweepArgument, output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """End a sweep; what has finished stays."""
    _command(sweep, lambda found: found.cancel(), output, url)


@examples("sasam retry latest && sasam watch")
def retry(
    sweep: SweepArgument,
    force: Force = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Run the failed, cancelled and missing trials of an ended sweep again."""
    _command(sweep, lambda found: found.retry_failed(force=force), output, url)


@examples("sasam delete 1f0c2a9b77d4")
def delete(sweep: SweepArgument, url: Url = None) -> None:
    """Forget an ended sweep; its MLflow runs stay."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        found.delete()
    echo(f"sweep {found.sweep_id} is deleted", err=True)


def _command(
    sweep_id: str, command: Callable[[Sweep], Sweep], output: OutputFormat, url: str | None
) -> None:
    """Ask something of a sweep and show what it answers."""
    with connect(url) as client:
        _show(client, command(find_sweep(client, sweep_id)), output)


def _show(client: Client, sweep: Sweep, output: OutputFormat) -> None:
    from service.cli import rendering

    if output is OutputFormat.TABLE:
        rendering.console(is_wide=True).print(rendering.sweep_table(sweep.detail, client.base_url))
    else:
        _write(sweep.detail.model_dump(mode="json"), output)


def _follow(sweep: Sweep, output: OutputFormat, *, exit_on_pause: bool = False) -> None:
    """Watch a sweep and end with its status; what programs read stays alone on standard output."""
    from service.cli.progress import follow
    from service.cli.rendering import console

    on = console(stderr=output is not OutputFormat.TABLE)
    try:
        detail = follow(sweep, on, exit_on_pause=exit_on_pause)
    except KeyboardInterrupt:
        echo(
            f"sasam: sweep {sweep.sweep_id} goes on; `sasam watch {sweep.sweep_id}` shows it "
            f"again, `sasam cancel {sweep.sweep_id}` ends it",
            err=True,
        )
        raise
    raise typer.Exit(status_of(detail))


def _write(data: dict[str, Any] | list[dict[str, Any]], output: OutputFormat) -> None:
    from service.cli.output import write

    write(data, output)


def _read(spec: str) -> str:
    """The text of a specification."""
    if spec == _STANDARD_INPUT:
        return sys.stdin.read()
    try:
        return Path(spec).read_text()
    except UnicodeDecodeError:
        raise CliError(f"{spec} is no text: a specification is YAML or JSON") from None
