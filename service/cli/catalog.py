"""Commands that list the catalog (optimizers, models, data sets, corruptions) and the presets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.cli.connection import connect
from service.cli.options import Output, Url, examples
from service.cli.output import OutputFormat, write

__all__ = ["catalog", "presets"]


@examples("sasam catalog", "sasam catalog --output yaml")
def catalog(output: Output = OutputFormat.TABLE, url: Url = None) -> None:
    """List optimizers, models, data sets and corruptions."""
    from service.cli.console import console
    from service.cli.tables import catalog_tables

    with connect(url) as client:
        found = client.catalog()
    if output is OutputFormat.TABLE:
        console(is_wide=True).print(catalog_tables(found))
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
    from service.cli.console import console
    from service.cli.tables import presets_table

    with connect(url) as client:
        if name is not None:
            sys.stdout.write(client.preset(name).text)
            return
        found = client.presets()
    if output is OutputFormat.TABLE:
        console(is_wide=True).print(presets_table(found))
    else:
        write([preset.model_dump(mode="json") for preset in found], output)
