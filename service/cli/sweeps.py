"""Commands on sweeps: submit, list, show, watch, and the commands that change their state."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.completion import preset_names, sweep_states
from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError, ExitStatus, exit_status
from service.cli.options import (
    Output,
    SweepArgument,
    SweepOrLatest,
    Url,
    examples,
    require_known,
)
from service.cli.output import OutputFormat, echo, write

if TYPE_CHECKING:
    from service.client import Client, Sweep
    from service.sweeps.schemas import DryRunView

__all__ = [
    "cancel",
    "delete",
    "edit",
    "extend",
    "list_",
    "pause",
    "resume",
    "retry",
    "show",
    "submit",
    "watch",
]

_STANDARD_INPUT = "-"

Force = Annotated[
    bool,
    typer.Option("--force", help="Even if the code has changed since the trials that have ended."),
]


@examples(
    "sasam submit sweep.yaml --watch",
    "sasam submit --preset digits",
    "sasam submit sweep.yaml --reuse",
    "SWEEP=$(sasam submit sweep.yaml) && sasam watch $SWEEP",
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
        bool, typer.Option("--dry-run", help="Only check it and show its cost.")
    ] = False,
    reuse: Annotated[
        bool,
        typer.Option("--reuse", help="Take over trials that another sweep has computed."),
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="A repetition with the same key submits no second sweep.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Wait until it has ended; the exit status shows how."),
    ] = False,
    output: Annotated[
        OutputFormat | None,
        typer.Option(
            "--output",
            "-o",
            help="Format of the output.",
            show_default="table on a terminal, otherwise the id alone",
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Submit a sweep; prints its id alone if standard output is not a terminal."""
    if (spec is None) == (preset is None):
        raise CliError("name either a specification or a --preset", ExitStatus.USAGE)
    with connect(url) as client:
        text = client.preset(preset).text if preset else _read(str(spec))
        if reuse:
            text = _with_reuse(text)
        if dry_run:
            _show_estimate(client.sweeps.estimate(text), output or OutputFormat.TABLE)
            return
        sweep = client.sweeps.submit(text, idempotency_key=idempotency_key)
        if output is None and sys.stdout.isatty():
            output = OutputFormat.TABLE
        if output is None:
            echo(sweep.sweep_id)
        else:
            _show(client, sweep, output)
        if follow:
            # A program that reads the id or the data reads nothing else on standard output.
            _follow(sweep, stderr=output is not OutputFormat.TABLE)


@examples("sasam list", "sasam list --state running --output json", "sasam list --name digits")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only sweeps in this state; repeatable.", autocompletion=sweep_states),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only sweeps of this name.")] = None,
    model: Annotated[str | None, typer.Option(help="Only sweeps of this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only sweeps of this data set.")] = None,
    creator: Annotated[str | None, typer.Option(help="Only sweeps of this creator.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Only sweeps with this tag, NAME or NAME=VALUE; repeatable."),
    ] = None,
    archived: Annotated[
        bool, typer.Option("--archived", help="Archived sweeps instead of the others.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="List at most this many.")] = 50,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """List sweeps, newest first."""
    from itertools import islice

    from service.cli.console import console
    from service.cli.tables import sweeps_table
    from service.states import SweepState

    known = sweep_states("")
    states = [SweepState(require_known("state", value, known)) for value in state or ()]
    with connect(url) as client:
        browse = client.sweeps.browse(
            states=states,
            name=name,
            model=model,
            dataset=dataset,
            creator=creator,
            tags=tag or (),
            archived="only" if archived else "no",
            page_size=min(limit, 200),
        )
        found = list(islice(browse, limit))
    if output is not OutputFormat.TABLE:
        write([sweep.model_dump(mode="json") for sweep in found], output)
    elif found:
        console(is_wide=True).print(sweeps_table(found))
    else:
        console(stderr=True).print("no sweeps")


@examples(
    "sasam show",
    "sasam show 1f0c2a9b77d4 --output yaml",
    "sasam show digits --spec > sweep.yaml",
)
def show(
    sweep: SweepOrLatest = LATEST,
    spec: Annotated[
        bool, typer.Option("--spec", help="Print its specification as it was submitted.")
    ] = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Show a sweep: state, progress, time left, addresses of its pages."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if spec:
            echo(found.specification_text(), nl=False)
        else:
            _show(client, found, output)


@examples(
    "sasam edit latest --name digits-wide --tag paper=fig3",
    "sasam edit 1f0c --description 'Diverges above 1.'",
    "sasam edit 1f0c --archive",
)
def edit(
    sweep: SweepArgument,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Tag to set, NAME=VALUE; repeatable.")
    ] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Tag to remove; repeatable.")] = None,
    description: Annotated[str | None, typer.Option(help="What to note about it.")] = None,
    archived: Annotated[
        bool | None,
        typer.Option("--archive/--unarchive", help="Leave it out of lists, or list it again."),
    ] = None,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Rename, tag, describe or archive a sweep; its results stay the same."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        tags = _edited_tags(found.detail.tags, tag or (), untag or ())
        changed = found.update(name=name, tags=tags, description=description, archived=archived)
        _show(client, changed, output)


def _edited_tags(
    tags: Mapping[str, str], added: Sequence[str], removed: Sequence[str]
) -> dict[str, str] | None:
    """The tags with some set and some removed; None if none is to change.

    Raises:
        CliError: One to set is not ``NAME=VALUE``, or one to remove is not there.
    """
    if not added and not removed:
        return None
    edited = dict(tags)
    for name in removed:
        if edited.pop(require_known("tag", name, list(tags)), None) is None:
            raise CliError(f"tag {name!r} is given twice", ExitStatus.USAGE)
    for text in added:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise CliError(f"a tag is NAME=VALUE (got {text[:80]!r})", ExitStatus.USAGE)
        edited[name] = value
    return edited


@examples(
    "sasam watch",
    "sasam watch 1f0c2a9b77d4 && sasam summary 1f0c2a9b77d4",
    "sasam watch latest --exit-on-pause",
)
def watch(
    sweep: SweepOrLatest = LATEST,
    exit_on_pause: Annotated[
        bool,
        typer.Option(
            "--exit-on-pause", help="Exit with status 4 when it is paused, instead of waiting."
        ),
    ] = False,
    url: Url = None,
) -> None:
    """Show the progress of a sweep until it has ended; the exit status shows how it ended.

    Ctrl-C ends the command, not the sweep.
    """
    with connect(url) as client:
        _follow(find_sweep(client, sweep), exit_on_pause=exit_on_pause)


@examples(
    "sasam show latest --spec > sweep.yaml    # edit it: more seeds, values or optimizers",
    "sasam extend latest sweep.yaml --dry-run",
    "sasam extend latest sweep.yaml && sasam watch",
)
def extend(
    sweep: SweepArgument,
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="File of a specification; '-': standard input.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check it and show the cost of the new trials.")
    ] = False,
    force: Force = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Add trials to a sweep: its specification with more seeds, values of axes or optimizers.

    Its trials keep their results; a specification that would change one is refused.
    """
    text = _read(spec)
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if dry_run:
            _show_estimate(found.estimate_extension(text), output)
        else:
            _show(client, found.extend(text, force=force), output)


@examples("sasam pause 1f0c2a9b77d4")
def pause(sweep: SweepArgument, output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """Stop the trials of a sweep; 'resume' continues from their checkpoints."""
    _run_command(sweep, lambda found: found.pause(), output, url)


@examples("sasam resume 1f0c2a9b77d4")
def resume(
    sweep: SweepArgument,
    force: Force = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Resume a paused sweep."""
    _run_command(sweep, lambda found: found.resume(force=force), output, url)


@examples("sasam cancel 1f0c2a9b77d4")
def cancel(sweep: SweepArgument, output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """Cancel a sweep; results of finished trials are kept."""
    _run_command(sweep, lambda found: found.cancel(), output, url)


@examples("sasam retry latest && sasam watch")
def retry(
    sweep: SweepArgument,
    force: Force = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Run the failed, cancelled and missing trials of an ended sweep again."""
    _run_command(sweep, lambda found: found.retry_failed(force=force), output, url)


@examples("sasam delete 1f0c2a9b77d4")
def delete(sweep: SweepArgument, url: Url = None) -> None:
    """Delete an ended sweep; its MLflow runs are kept."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        found.delete()
    echo(f"sweep {found.sweep_id} is deleted", err=True)


def _run_command(
    sweep_id: str, command: Callable[[Sweep], Sweep], output: OutputFormat, url: str | None
) -> None:
    """Send a command to a sweep and show the sweep afterwards."""
    with connect(url) as client:
        _show(client, command(find_sweep(client, sweep_id)), output)


def _show(client: Client, sweep: Sweep, output: OutputFormat) -> None:
    from service.cli.console import console
    from service.cli.tables import sweep_table

    if output is OutputFormat.TABLE:
        console(is_wide=True).print(sweep_table(sweep.detail, client.base_url))
    else:
        write(sweep.detail.model_dump(mode="json"), output)


def _show_estimate(estimate: DryRunView, output: OutputFormat) -> None:
    from service.cli.console import console
    from service.cli.tables import dry_run_table

    if output is OutputFormat.TABLE:
        console(is_wide=True).print(dry_run_table(estimate))
    else:
        write(estimate.model_dump(mode="json"), output)


def _follow(sweep: Sweep, *, stderr: bool = False, exit_on_pause: bool = False) -> None:
    """Show the progress of a sweep, then exit with its status."""
    from service.cli.console import console
    from service.cli.progress import follow

    try:
        detail = follow(sweep, console(stderr=stderr), exit_on_pause=exit_on_pause)
    except KeyboardInterrupt:
        echo(
            f"sasam: sweep {sweep.sweep_id} continues; `sasam watch {sweep.sweep_id}` shows it "
            f"again, `sasam cancel {sweep.sweep_id}` ends it",
            err=True,
        )
        raise
    raise typer.Exit(exit_status(detail))


def _with_reuse(text: str) -> str:
    """A specification that takes over trials of other sweeps."""
    from workers.spec.writing import with_setting

    return with_setting(text, "reuse", True)


def _read(spec: str) -> str:
    """Read a specification, with the Python files that it names from its folder."""
    if spec == _STANDARD_INPUT:
        return sys.stdin.read()
    from workers.spec import with_files

    path = Path(spec)
    try:
        return with_files(path.read_text(encoding="utf-8"), path.parent)
    except UnicodeDecodeError:
        raise CliError(f"{spec} is not text: a specification is YAML or JSON in UTF-8") from None
