"""Commands on trials: list those of a sweep; run one on this machine without the service."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.completion import trial_statuses
from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError
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
    from service.client import Sweep
    from service.trials.schemas import TrialView

__all__ = ["checkpoint", "run", "spec", "trials"]

# Runs in a process of its own: the command line does not import torch.
_PROGRAM = "workers.training"


@examples(
    "sasam trials --status failed",
    "sasam trials --at optimizer.momentum=0.9 --at learning_rate=0.1",
    "sasam trials digits --sort -val_accuracy",
    "sasam trials latest --output csv > trials.csv",
)
def trials(
    sweep: SweepOrLatest = LATEST,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only trials with this status: completed, diverged, failed, running, ...",
            autocompletion=trial_statuses,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Only trials with this value of a hyperparameter, such as optimizer.momentum=0.9; "
            "repeatable."
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort by a metric, hyperparameter or field; -val_accuracy puts the largest first."
        ),
    ] = None,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """List the trials of a sweep with their results."""
    from service.cli.console import console
    from service.cli.tables import trials_table
    from workers.scores import SCORES

    if status is not None:
        require_known("status", status, trial_statuses(""))
    with connect(url) as client:
        chosen = find_sweep(client, sweep)
        found = list(chosen.trials(status=status, at=at or ()))
    if sort is not None:
        found = _sorted(found, sort)
    if output is not OutputFormat.TABLE:
        write([trial.model_dump(mode="json") for trial in found], output)
    elif found:
        console(is_wide=True).print(trials_table(found, SCORES[chosen.detail.score]))
    else:
        kind = "trials" if status is None else f"{status} trials"
        console(stderr=True).print(f"no {kind}" + (f" at {', '.join(at)}" if at else ""))


def _sorted(trials: list[TrialView], sort: str) -> list[TrialView]:
    """Trials by one value, those without it last.

    Raises:
        CliError: No trial has a value of that name.
    """
    name = sort.removeprefix("-")
    rows = [
        (trial, {**_fields(trial), **trial.hyperparameters, **trial.metrics}) for trial in trials
    ]
    known = sorted({key for _, values in rows for key in values})
    if rows:
        require_known("column", name, known)
    have = [(trial, values[name]) for trial, values in rows if values.get(name) is not None]
    is_text = any(isinstance(value, str | list) for _, value in have)
    have.sort(key=lambda pair: str(pair[1]) if is_text else pair[1], reverse=sort.startswith("-"))
    return [
        *(trial for trial, _ in have),
        *(trial for trial, values in rows if values.get(name) is None),
    ]


def _fields(trial: TrialView) -> dict[str, Any]:
    """The fields of a trial to sort by."""
    names = ("key", "optimizer", "seed", "status", "epoch")
    return {name: getattr(trial, name) for name in names}


@examples("sasam trial spec latest 8d1f0c2a9b77d4e0 > trial.yaml && sasam trial run trial.yaml")
def spec(
    sweep: SweepArgument,
    trial: Annotated[str, typer.Argument(metavar="KEY", help="Key of a trial, or its beginning.")],
    url: Url = None,
) -> None:
    """Print a specification whose only trial is the given one, to run it again."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        echo(found.trial_specification(_key_of(found, trial)), nl=False)


def _key_of(sweep: Sweep, beginning: str) -> str:
    """The key of the trial whose key begins like this.

    Raises:
        CliError: There is no such trial, or there are several.
    """
    keys = [one.key for one in sweep.trials() if one.key.startswith(beginning)]
    if len(keys) != 1:
        count = "several trials" if keys else "no trial"
        raise CliError(f"{count} of sweep {sweep.sweep_id} begin with {beginning[:40]!r}")
    return keys[0]


@examples("sasam trial checkpoint latest 8d1f0c2a --save best.pt")
def checkpoint(
    sweep: SweepArgument,
    trial: Annotated[str, typer.Argument(metavar="KEY", help="Key of a trial, or its beginning.")],
    save: Annotated[Path | None, typer.Option(help="File to write.", show_default="KEY.pt")] = None,
    url: Url = None,
) -> None:
    """Download the last checkpoint of a trial, a file of torch.save."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        key = _key_of(found, trial)
        path = save or Path(f"{key}.pt")
        path.write_bytes(found.trial_checkpoint(key))
    echo(str(path))


@examples("sasam trial run sweep.yaml --index 3", "sasam trial run sweep.yaml -i 0 --device cpu")
def run(
    spec: Annotated[
        Path, typer.Argument(help="File of a specification.", exists=True, dir_okay=False)
    ],
    index: Annotated[
        int, typer.Option("--index", "-i", min=0, help="Position of the trial, from 0.")
    ] = 0,
    device: Annotated[
        str | None,
        typer.Option(help="Device of the training.", show_default="cuda if available"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to resume from and to save to.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data sets [SASAM_DATA_DIR].", show_default="~/.sasam/data"
        ),
    ] = None,
) -> None:
    """Run one trial of a specification here; prints one JSON line per epoch."""
    from service.embedded.privacy import private_files
    from service.settings import Settings

    if find_spec("torch") is None or find_spec(_PROGRAM) is None:
        raise CliError("trials cannot run here; install the workers: pip install 'sasam[workers]'")
    settings = Settings()
    folder = data_dir or settings.resolved_data_dir
    options = {
        "--index": index,
        "--data-dir": folder,
        "--device": device,
        "--checkpoint": checkpoint,
    }
    given = [
        word for name, value in options.items() if value is not None for word in (name, str(value))
    ]
    program = [sys.executable, "-m", _PROGRAM, str(spec), *given]
    with private_files(settings.home, folder, checkpoint or folder):
        ended = subprocess.run(program, check=False)  # noqa: S603 - own program
    raise typer.Exit(ended.returncode)
