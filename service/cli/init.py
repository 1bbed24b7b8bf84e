"""The command that begins a specification."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from service.cli.completion import preset_names
from service.cli.connection import service_address
from service.cli.failures import CliError, ExitStatus
from service.cli.options import Url, examples
from service.cli.output import echo

__all__ = ["init"]

_TEMPLATE = "sweep.yaml"


@examples(
    "sasam init",
    "sasam init paper.yaml --preset paper-vgg19",
    "sasam init && sasam submit sweep.yaml",
)
def init(
    file: Annotated[
        Path, typer.Argument(help="File to write; one that exists is never overwritten.")
    ] = Path(_TEMPLATE),
    preset: Annotated[
        str | None,
        typer.Option(help="Begin with this preset.", autocompletion=preset_names),
    ] = None,
    url: Url = None,
) -> None:
    """Write a commented specification to begin with."""
    text = files("service.cli").joinpath(_TEMPLATE).read_text() if preset is None else _text(preset)
    schema = f"{(url or service_address()).rstrip('/')}/api/v1/schema/sweep.json"
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(f"# yaml-language-server: $schema={schema}\n{text}")
    except FileExistsError:
        raise CliError(f"{file} exists; name another file", ExitStatus.USAGE) from None
    echo(file)
    echo(f"next: sasam submit {file} --dry-run", err=True)


def _text(preset: str) -> str:
    known = preset_names("")
    if preset not in known:
        raise CliError(
            f"no preset {preset[:40]!r} (there are {', '.join(known)})", ExitStatus.USAGE
        )
    return files("workers.presets").joinpath(f"{preset}.yaml").read_text()
