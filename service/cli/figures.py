"""Commands that draw figures of a sweep: plot, and report with all of them in one page."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.completion import figure_names
from service.cli.connection import LATEST, connect, find_sweep
from service.cli.errors import CliError, ExitStatus
from service.cli.options import SweepOrLatest, Url, examples
from service.cli.output import echo

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import Sweep

__all__ = ["Theme", "figure_format", "plot", "print_heatmap", "report", "write_figures"]

_FORMATS = {".svg": "svg", ".png": "png", ".json": "json", ".csv": "csv", ".vl": "vega-lite"}
_TERMINAL_FIGURES = ("accuracy-heatmap", "trace-heatmap", "heatmap")

Theme = Annotated[str, typer.Option(help="light or dark.")]


@examples(
    "sasam plot",
    "sasam plot latest trace-heatmap --file trace.svg",
    "sasam plot 1f0c2a9b77d4 lr-curves -f curves.png --theme dark",
    "sasam plot latest accuracy-heatmap --x optimizer.momentum --y training.batch_size",
    "sasam plot --all --folder figures",
)
def plot(
    sweep: SweepOrLatest = LATEST,
    figure: Annotated[
        str, typer.Argument(help="Name of the figure.", autocompletion=figure_names)
    ] = _TERMINAL_FIGURES[0],
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Write it: .svg, .png, .json, .csv, .vl (Vega-Lite)."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Of 'heatmap': hessian_lambda_max, ...")
    ] = None,
    split: Annotated[str | None, typer.Option(help="validation or ood.")] = None,
    x: Annotated[
        str | None,
        typer.Option("--x", help="Horizontal axis of a heatmap: optimizer.momentum, ..."),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            "--y", help="Vertical axis of a heatmap; 'chance' starts that of learning-curves there."
        ),
    ] = None,
    rest: Annotated[
        str | None, typer.Option(help="Other hyperparameters of a heatmap: best or mean.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="Fix another hyperparameter: axis=value; repeatable.")
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(
            help="Begin the colours of a heatmap this many points, or nats, worse than the best."
        ),
    ] = None,
    axis: Annotated[str | None, typer.Option(help="Hyperparameter of lr-curves.")] = None,
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
    from service.cli.console import console

    if every:
        with connect(url) as client:
            found = find_sweep(client, sweep)
            write_figures(found, folder or Path(f"figures-{found.sweep_id}"), theme)
        return
    if file is None and figure not in _TERMINAL_FIGURES:
        raise CliError(
            f"{figure} needs a --file; the terminal shows {', '.join(_TERMINAL_FIGURES)}",
            ExitStatus.USAGE,
        )
    file_format = None if file is None else figure_format(file)
    options: dict[str, str | list[str] | None] = {
        **{"metric": metric, "split": split, "axis": axis},
        **{"x": x, "y": y, "rest": rest, "at": at, "span": span},
    }
    with connect(url) as client:
        found = find_sweep(client, sweep)
        if file is None or file_format is None:
            print_heatmap(found, console(), figure, **options)
        else:
            file.write_bytes(found.figure_file(figure, file_format, theme=theme, **options))


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


def write_figures(sweep: Sweep, folder: Path, theme: str = "light") -> None:
    """Write every figure of a sweep that can be drawn; report why the others cannot."""
    from service.client import ProblemError

    folder.mkdir(parents=True, exist_ok=True)
    for figure in sweep.figures():
        if figure.name == "heatmap":  # the only figure that requires a metric
            continue
        try:
            for suffix in (".svg", ".png", ".csv"):
                path = folder / f"{figure.name}{suffix}"
                path.write_bytes(sweep.figure_file(figure.name, _FORMATS[suffix], theme=theme))
                echo(path)
        except ProblemError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            echo(f"{figure.name}: {error}", err=True)


def print_heatmap(
    sweep: Sweep,
    on: Console,
    figure: str = _TERMINAL_FIGURES[0],
    **options: str | list[str] | None,
) -> None:
    """Print a heatmap of a sweep, with options of the figure."""
    from service.cli.heatmap import draw_heatmap

    on.print(draw_heatmap(sweep.figure_data(figure, **options), on))


def figure_format(file: Path) -> str:
    """Return the figure format for the suffix of a file.

    Raises:
        CliError: The suffix is unknown.
    """
    if file.suffix not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise CliError(f"{file}: unknown format (the suffix is one of {known})", ExitStatus.USAGE)
    return _FORMATS[file.suffix]
