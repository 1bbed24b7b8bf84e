"""The command ``init``: writes a specification to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from service.cli.completion import preset_names
from service.cli.connection import service_address
from service.cli.errors import CliError, ExitStatus
from service.cli.options import Url, examples, require_known
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
        typer.Option(help="Start from this preset.", autocompletion=preset_names),
    ] = None,
    url: Url = None,
) -> None:
    """Write a commented specification to start from."""
    text = _template() if preset is None else _preset(preset)
    schema = f"{(url or service_address()).rstrip('/')}/api/v1/schema/sweep.json"
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(f"# yaml-language-server: $schema={schema}\n{text}")
    except FileExistsError:
        raise CliError(f"{file} exists; name another file", ExitStatus.USAGE) from None
    echo(file)
    echo(f"next: sasam submit {file} --dry-run", err=True)


def _template() -> str:
    return files("service.cli").joinpath(_TEMPLATE).read_text(encoding="utf-8")


def _preset(name: str) -> str:
    require_known("preset", name, preset_names(""))
    return files("workers.presets").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
