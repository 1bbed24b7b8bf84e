"""Commands on results: summary, plot, trials."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.connection import connect, find_sweep
from service.cli.failures import CliError, ExitStatus
from service.cli.options import LATEST, Output, OutputFormat, SweepOrLatest, Url, examples

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Sweep

__all__ = ["SummaryFormat", "plot", "print_heatmap", "print_summary", "summary", "trials"]

_SUFFIXES = {".svg": "svg", ".png": "png", ".json": "json", ".csv": "csv", ".vl": "vega-lite"}
_ON_TERMINAL = ("accuracy-heatmap", "trace-heatmap", "heatmap")


class SummaryFormat(StrEnum):
    """How a summary is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"
    LATEX = "latex"


@examples("sasam summary", "sasam summary 1f0c2a9b77d4 --output latex > table.tex")
def summary(
    sweep: SweepOrLatest = LATEST,
    target: Annotated[
        float | None, typer.Option(help="Accuracy in [0, 1] for 'trials to target'.")
    ] = None,
    output: Annotated[
        SummaryFormat, typer.Option("--output", "-o", help="How the summary is written.")
    ] = SummaryFormat.TABLE,
    url: Url = None,
) -> None:
    """Show how much each optimizer of a sweep depends on tuning."""
    from service.cli.output import write
    from service.cli.rendering import console

    with connect(url) as client:
        found = find_sweep(client, sweep)
        match output:
            case SummaryFormat.TABLE:
                print_summary(found, console(), target=target)
            case SummaryFormat.CSV | SummaryFormat.LATEX:
                sys.stdout.write(found.summary_text(output, target=target))
            case _:
                data = found.summary(target=target).model_dump(mode="json")
                write(data, OutputFormat(output))


@examples(
    "sasam plot",
    "sasam plot latest trace-heatmap --file trace.svg",
    "sasam plot 1f0c2a9b77d4 lr-curves -f curves.png --theme dark",
)
def plot(
    sweep: SweepOrLatest = LATEST,
    figure: Annotated[str, typer.Argument(help="Name of the figure.")] = _ON_TERMINAL[0],
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Write it: .svg, .png, .json, .csv, .vl (Vega-Lite)."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of 'heatmap': hessian_lambda_max, ...")
    ] = None,
    split: Annotated[str | None, typer.Option(help="validation or ood.")] = None,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    url: Url = None,
) -> None:
    """Draw a figure of a sweep: a heatmap on the terminal, any figure to a file."""
    from service.cli.rendering import console

    if file is None and figure not in _ON_TERMINAL:
        raise CliError(
            f"{figure} needs a --file; on the terminal there are {', '.join(_ON_TERMINAL)}",
            ExitStatus.USAGE,
        )
    if file is not None and file.suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise CliError(f"{file}: unknown format (the suffix is one of {known})", ExitStatus.USAGE)
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if file is None:
            print_heatmap(found, console(), figure, metric=metric, split=split)
        else:
            file_format = _SUFFIXES[file.suffix]
            drawn = found.figure(figure, file_format, metric=metric, split=split, theme=theme)
            file.write_bytes(drawn)


@examples("sasam trials --status failed", "sasam trials latest --output csv > trials.csv")
def trials(
    sweep: SweepOrLatest = LATEST,
    status: Annotated[
        str | None, typer.Option(help="Only these: completed, diverged, failed, running, ...")
    ] = None,
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """List the trials of a sweep with their results."""
    from service.cli import rendering
    from service.cli.output import write

    with connect(url) as client:
        found = list(find_sweep(client, sweep).trials(status=status))
    if output is OutputFormat.TABLE:
        rendering.console(is_wide=True).print(rendering.trials_table(found))
    else:
        write([trial.model_dump(mode="json") for trial in found], output)


def print_summary(sweep: Sweep, on: Console, *, target: float | None = None) -> None:
    """Print the summary of a sweep as a table."""
    from service.cli.rendering import summary_table
    from service.summaries import render_table

    on.print(summary_table(render_table(sweep.summary(target=target)), on))


def print_heatmap(
    sweep: Sweep,
    on: Console,
    figure: str = _ON_TERMINAL[0],
    *,
    metric: str | None = None,
    split: str | None = None,
) -> None:
    """Print a heatmap of a sweep."""
    from service.cli.heatmap import draw_heatmap

    on.print(draw_heatmap(sweep.figure_data(figure, metric=metric, split=split), on))
