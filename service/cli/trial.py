"""Commands on single trials, without the service."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from service.cli.failures import CliError
from service.cli.options import examples

__all__ = ["run"]

# A process of its own: the command line holds no torch.
_PROGRAM = "workers.training"


@examples("sasam trial run sweep.yaml --index 3", "sasam trial run sweep.yaml -i 0 --device cpu")
def run(
    spec: Annotated[
        Path, typer.Argument(help="File of a specification.", exists=True, dir_okay=False)
    ],
    index: Annotated[
        int, typer.Option("--index", "-i", min=0, help="Which trial, in the order they start.")
    ] = 0,
    device: Annotated[
        str | None, typer.Option(help="Where it trains.", show_default="cuda where there is one")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to go on from and to save to.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data sets [SASAM_DATA_DIR].", show_default="~/.sasam/data"
        ),
    ] = None,
) -> None:
    """Run one trial of a specification here; prints a record an epoch, a JSON line each."""
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
        ended = subprocess.run(program, check=False)  # noqa: S603
    raise typer.Exit(ended.returncode)
