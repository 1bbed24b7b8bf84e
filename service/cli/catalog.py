"""Commands on what can be swept: catalog, presets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.cli.connection import connect
from service.cli.options import Output, OutputFormat, Url, examples

__all__ = ["catalog", "presets"]


@examples("sasam catalog", "sasam catalog --output yaml")
def catalog(output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """List optimizers, models, data sets and corruptions."""
    from service.cli import rendering
    from service.cli.output import write

    with connect(url) as client:
        found = client.catalog()
    if output is OutputFormat.TABLE:
        rendering.console(is_wide=True).print(rendering.catalog_tables(found))
    elif output is OutputFormat.CSV:
        kinds = ("optimizers", "models", "datasets")
        write(
            [
                {"kind": kind} | entry.model_dump(mode="json")
                for kind in kinds
                for entry in getattr(found, kind)
            ],
            output,
        )
    else:
        write(found.model_dump(mode="json"), output)


@examples("sasam presets", "sasam presets digits > sweep.yaml")
def presets(
    name: Annotated[
        str | None, typer.Argument(help="Print the YAML of this preset.", show_default=False)
    ] = None,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """List specifications to start from, or print one."""
    from service.cli import rendering
    from service.cli.output import write

    with connect(url) as client:
        if name is not None:
            sys.stdout.write(client.preset(name).text)
            return
        found = client.presets()
    if output is OutputFormat.TABLE:
        rendering.console(is_wide=True).print(rendering.presets_table(found))
    else:
        write([preset.model_dump(mode="json") for preset in found], output)
