"""Commands on summaries of tuning sensitivity: summary of a sweep, comparison of sweeps."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError, ExitStatus
from service.cli.figures import Theme, figure_format
from service.cli.options import Output, SweepOrLatest, Url, examples
from service.cli.output import OutputFormat, echo, write

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Sweep

__all__ = ["SummaryFormat", "best", "compare", "print_published", "print_summary", "summary"]


class SummaryFormat(StrEnum):
    """Format of a summary."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"
    LATEX = "latex"


@examples(
    "sasam summary",
    "sasam summary 1f0c2a9b77d4 --output latex > table.tex",
    "sasam summary --budget equal --optimizer sa-sam --optimizer adam",
    "sasam summary --published",
    "sasam summary --next > next.yaml",
)
def summary(
    sweep: SweepOrLatest = LATEST,
    target: Annotated[
        float | None, typer.Option(help="Accuracy or loss for 'trials to target'.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Difference from the best score that is near-optimal.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Cut trials at gradient evaluations: 'equal' or a number."),
    ] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="Label of an optimizer; repeatable. All by default.")
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Show measures as they were published, with sources."),
    ] = False,
    next_cells: Annotated[
        bool,
        typer.Option(
            "--next",
            help="Print a specification of the neighbours of the best configurations that were not"
            " measured.",
        ),
    ] = False,
    output: Annotated[
        SummaryFormat, typer.Option("--output", "-o", help="Format of the summary.")
    ] = SummaryFormat.TABLE,
    url: Url = None,
) -> None:
    """Show how much each optimizer of a sweep depends on tuning."""
    from service.cli.console import console

    options: dict[str, Any] = {
        "target": target,
        "epsilon": epsilon,
        "gradient_evaluations": budget,
        "optimizers": optimizer or (),
    }
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if next_cells:
            echo(found.next_cells(), nl=False)
            return
        match output:
            case SummaryFormat.TABLE if published:
                print_published(found, console(), **options)
            case SummaryFormat.TABLE:
                print_summary(found, console(), **options)
            case SummaryFormat.CSV | SummaryFormat.LATEX:
                echo(found.summary_text(output, **options), nl=False)
            case _:
                data = found.summary(**options).model_dump(mode="json")
                write(data, OutputFormat(output))


@examples(
    "sasam best latest > best.yaml && sasam trial run best.yaml",
    "sasam best latest --optimizer sa-sam --python",
)
def best(
    sweep: SweepOrLatest = LATEST,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="Label of an optimizer.", show_default="the one with the best validation score"
        ),
    ] = None,
    python: Annotated[
        bool, typer.Option("--python", help="Print Python code that builds the optimizer.")
    ] = False,
    url: Url = None,
) -> None:
    """Print the best configuration as a specification of one trial, or as code."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        echo(found.best_configuration(optimizer, "python" if python else "yaml"), nl=False)


@examples(
    "sasam compare 1f0c2a9b77d4 9d31c0f2ab68",
    "sasam compare 1f0c2a9b77d4 9d31c0f2ab68 -f profiles.svg --figure performance-profiles",
)
def compare(
    sweeps: Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Ids of sweeps.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Draw a figure instead: .svg, .png, ...")
    ] = None,
    figure: Annotated[
        str,
        typer.Option(
            help="side-by-side, learning-rates, performance-profiles or sensitivity-plane."
        ),
    ] = "side-by-side",
    theme: Theme = "light",
    published: Annotated[
        bool,
        typer.Option("--published", help="Show measures as they were published, with sources."),
    ] = False,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Compare sweeps: the same grid on other models, data or code versions."""
    from service.cli.console import console
    from service.cli.tables import summary_table
    from service.sensitivity import comparison_table, published_comparison_table

    file_format = None if file is None else figure_format(file)
    with connect(url) as client:
        ids = [find_sweep(client, sweep).sweep_id for sweep in sweeps]
        if file is not None and file_format is not None:
            drawn = client.sweeps.comparison_figure_file(ids, figure, file_format, theme=theme)
            file.write_bytes(drawn)
            return
        found = client.sweeps.compare(ids)
    if output is OutputFormat.TABLE:
        on = console(is_wide=True)
        shown = published_comparison_table(found) if published else comparison_table(found)
        if shown is None:
            raise CliError("--published needs sweeps of at least two workloads", ExitStatus.FAILED)
        on.print(summary_table(shown, on))
    elif output is OutputFormat.CSV:
        write([headline.model_dump(mode="json") for headline in found.headlines], output)
    else:
        write(found.model_dump(mode="json"), output)


def print_summary(sweep: Sweep, on: Console, **options: Any) -> None:
    """Print the summary of a sweep as tables: by optimizer, by hyperparameter, calibration.

    Args:
        sweep: The sweep.
        on: The console.
        options: Options of ``Sweep.summary``.
    """
    from service.cli.tables import summary_table
    from service.sensitivity import (
        axis_table,
        calibration_table,
        further_test_set_table,
        render_table,
    )

    summary = sweep.summary(**options)
    on.print(summary_table(render_table(summary), on))
    if summary.axes:
        on.print("", summary_table(axis_table(summary), on), sep="\n")
    for table in (calibration_table(summary), further_test_set_table(summary)):
        if table.rows:
            on.print("", summary_table(table, on), sep="\n")


def print_published(sweep: Sweep, on: Console, **options: Any) -> None:
    """Print the published measures of a sweep, and the gains of tuned over untuned optimizers.

    Args:
        sweep: The sweep.
        on: The console.
        options: Options of ``Sweep.summary``.
    """
    from service.cli.tables import summary_table
    from service.sensitivity import gain_table, published_table

    summary = sweep.summary(**options)
    on.print(summary_table(published_table(summary), on))
    gains = gain_table(summary)
    if gains is not None:
        on.print("", summary_table(gains, on), sep="\n")
