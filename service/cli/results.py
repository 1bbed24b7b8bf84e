"""Commands on results: summary, plot, report, compare, trials."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.completion import figure_names
from service.cli.connection import connect, find_sweep
from service.cli.failures import CliError, ExitStatus
from service.cli.options import LATEST, Output, OutputFormat, SweepOrLatest, Url, examples
from service.cli.output import echo

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Sweep

__all__ = [
    "SummaryFormat",
    "compare",
    "plot",
    "print_heatmap",
    "print_summary",
    "report",
    "summary",
    "trials",
    "write_figures",
]

_SUFFIXES = {".svg": "svg", ".png": "png", ".json": "json", ".csv": "csv", ".vl": "vega-lite"}
_ON_TERMINAL = ("accuracy-heatmap", "trace-heatmap", "heatmap")


Theme = Annotated[str, typer.Option(help="light or dark.")]


class SummaryFormat(StrEnum):
    """How a summary is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    YAML = "yaml"
    LATEX = "latex"


@examples(
    "sasam summary",
    "sasam summary 1f0c2a9b77d4 --output latex > table.tex",
    "sasam summary --budget equal --optimizer sa-sam --optimizer adam",
)
def summary(
    sweep: SweepOrLatest = LATEST,
    target: Annotated[
        float | None, typer.Option(help="Accuracy in [0, 1] for 'trials to target'.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Accuracy below the best that is near-optimal.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Cut trials at gradient evaluations: 'equal' or a number."),
    ] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="Label of an optimizer; repeatable. All by default.")
    ] = None,
    output: Annotated[
        SummaryFormat, typer.Option("--output", "-o", help="How the summary is written.")
    ] = SummaryFormat.TABLE,
    url: Url = None,
) -> None:
    """Show how much each optimizer of a sweep depends on tuning."""
    from service.cli.output import write
    from service.cli.rendering import console

    asked: dict[str, Any] = {
        "target": target,
        "epsilon": epsilon,
        "gradient_evaluations": budget,
        "optimizers": optimizer or (),
    }
    with connect(url) as client:
        found = find_sweep(client, sweep)
        match output:
            case SummaryFormat.TABLE:
                print_summary(found, console(), **asked)
            case SummaryFormat.CSV | SummaryFormat.LATEX:
                echo(found.summary_text(output, **asked), nl=False)
            case _:
                data = found.summary(**asked).model_dump(mode="json")
                write(data, OutputFormat(output))


@examples(
    "sasam plot",
    "sasam plot latest trace-heatmap --file trace.svg",
    "sasam plot 1f0c2a9b77d4 lr-curves -f curves.png --theme dark",
    "sasam plot --all --folder figures",
)
def plot(
    sweep: SweepOrLatest = LATEST,
    figure: Annotated[
        str, typer.Argument(help="Name of the figure.", autocompletion=figure_names)
    ] = _ON_TERMINAL[0],
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Write it: .svg, .png, .json, .csv, .vl (Vega-Lite)."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of 'heatmap': hessian_lambda_max, ...")
    ] = None,
    split: Annotated[str | None, typer.Option(help="validation or ood.")] = None,
    theme: Theme = "light",
    every: Annotated[
        bool, typer.Option("--all", help="Write every figure as .svg, .png and .csv.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where --all writes; by default a folder of the sweep.")
    ] = None,
    url: Url = None,
) -> None:
    """Draw a figure of a sweep: a heatmap on the terminal, any figure to a file."""
    from service.cli.rendering import console

    if every:
        with connect(url) as client:
            found = find_sweep(client, sweep)
            write_figures(found, folder or Path(f"figures-{found.sweep_id}"), theme)
        return
    if file is None and figure not in _ON_TERMINAL:
        raise CliError(
            f"{figure} needs a --file; on the terminal there are {', '.join(_ON_TERMINAL)}",
            ExitStatus.USAGE,
        )
    file_format = None if file is None else _format_of(file)
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if file is None or file_format is None:
            print_heatmap(found, console(), figure, metric=metric, split=split)
        else:
            asked = {"metric": metric, "split": split, "theme": theme}
            drawn = found.figure_file(figure, file_format, **asked)
            file.write_bytes(drawn)


@examples("sasam report", "sasam report 1f0c2a9b77d4 --file paper.html --theme dark")
def report(
    sweep: SweepOrLatest = LATEST,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Where to write it.", show_default=False)
    ] = None,
    theme: Theme = "light",
    url: Url = None,
) -> None:
    """Write everything about a sweep as one HTML page that needs no network."""
    with connect(url) as client:
        found = find_sweep(client, sweep)
        path = file or Path(f"report-{found.sweep_id}.html")
        path.write_text(found.report(theme=theme), encoding="utf-8")
    echo(path)


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
        str, typer.Option(help="side-by-side or performance-profiles.")
    ] = "side-by-side",
    theme: Theme = "light",
    output: Output = OutputFormat.TABLE,
    url: Url = None,
) -> None:
    """Put sweeps side by side: the same grid on other models, data or code versions."""
    from service.cli.output import write
    from service.cli.rendering import console, summary_table
    from service.sensitivity import comparison_table

    file_format = None if file is None else _format_of(file)
    with connect(url) as client:
        ids = [find_sweep(client, sweep).sweep_id for sweep in sweeps]
        if file is not None and file_format is not None:
            drawn = client.sweeps.comparison_figure_file(ids, figure, file_format, theme=theme)
            file.write_bytes(drawn)
            return
        found = client.sweeps.compare(ids)
    if output is OutputFormat.TABLE:
        on = console(is_wide=True)
        on.print(summary_table(comparison_table(found), on))
    elif output is OutputFormat.CSV:
        write([headline.model_dump(mode="json") for headline in found.headlines], output)
    else:
        write(found.model_dump(mode="json"), output)


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


def write_figures(sweep: Sweep, folder: Path, theme: str = "light") -> None:
    """Write every figure that the sweep can show; say why where it cannot."""
    from service.client import ProblemError

    folder.mkdir(parents=True, exist_ok=True)
    for figure in sweep.figures():
        if figure.name == "heatmap":  # needs a metric; the others have one
            continue
        try:
            for suffix in (".svg", ".png", ".csv"):
                path = folder / f"{figure.name}{suffix}"
                path.write_bytes(sweep.figure_file(figure.name, _SUFFIXES[suffix], theme=theme))
                echo(path)
        except ProblemError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            echo(f"{figure.name}: {error}", err=True)


def _format_of(file: Path) -> str:
    """The format that the suffix of a file asks for."""
    if file.suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise CliError(f"{file}: unknown format (the suffix is one of {known})", ExitStatus.USAGE)
    return _SUFFIXES[file.suffix]


def print_summary(sweep: Sweep, on: Console, **asked: Any) -> None:
    """Print the summary of a sweep as a table; ``asked`` are options of ``Sweep.summary``."""
    from service.cli.rendering import summary_table
    from service.sensitivity import render_table

    on.print(summary_table(render_table(sweep.summary(**asked)), on))


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
