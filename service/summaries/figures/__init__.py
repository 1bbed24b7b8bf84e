"""The figures of a sweep: one pure function computes what is shown, another draws Vega-Lite."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from altair.utils import schemapi

from service.summaries.compared import SweepComparison
from service.summaries.errors import InvalidOptionError, NotAvailableError, UnknownNameError
from service.summaries.figures import (
    best,
    corruptions,
    curves,
    heatmaps,
    profiles,
    rank,
    scatter,
    side_by_side,
)
from service.summaries.figures.data import FigureData, Record
from service.summaries.figures.heatmaps import HEATMAP_METRICS, heatmap
from service.summaries.figures.profiles import performance_profiles
from service.summaries.figures.rendering import (
    MEDIA_TYPES,
    PICTURE_FORMATS,
    rasterize,
    records_csv,
    render,
)
from service.summaries.figures.terminal import TerminalCell, TerminalPanel, terminal_heatmap
from service.summaries.figures.theme import THEMES, Theme, theme_of, themed
from service.summaries.summary import Budget, at_budget
from service.summaries.table import TrialTable

__all__ = [
    "COMPARISON_FIGURES",
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "PICTURE_FORMATS",
    "THEMES",
    "FigureData",
    "FigureDescription",
    "Record",
    "TerminalCell",
    "TerminalPanel",
    "compute_comparison_figure",
    "compute_figure",
    "describe_figures",
    "draw",
    "export_figure",
    "heatmap",
    "performance_profiles",
    "rasterize",
    "render",
    "terminal_heatmap",
]


@dataclass(frozen=True, slots=True)
class _Figure:
    compute: Callable[..., FigureData]
    draw: Callable[[FigureData, Theme], Any]


_FIGURES: Mapping[str, _Figure] = {
    "best": _Figure(best.best, best.draw_best),
    "trace-heatmap": _Figure(heatmaps.trace_heatmap, heatmaps.draw_heatmap),
    "accuracy-heatmap": _Figure(heatmaps.accuracy_heatmap, heatmaps.draw_heatmap),
    "heatmap": _Figure(heatmaps.heatmap, heatmaps.draw_heatmap),
    "overview": _Figure(heatmaps.overview, heatmaps.draw_overview),
    "lr-curves": _Figure(curves.lr_curves, curves.draw_lr_curves),
    "expected-max": _Figure(curves.expected_max, curves.draw_expected_max),
    "rank": _Figure(rank.rank, rank.draw_rank),
    "curvature-scatter": _Figure(scatter.curvature_scatter, scatter.draw_curvature_scatter),
    "corruptions": _Figure(corruptions.corruptions, corruptions.draw_corruptions),
    "learning-curves": _Figure(curves.learning_curves, curves.draw_learning_curves),
}
FIGURES = tuple(_FIGURES)

# Computed from several sweeps, so not by `compute_figure`.
_DRAWN_ONLY = {
    "side-by-side": side_by_side.draw_side_by_side,
    "performance-profiles": profiles.draw_performance_profiles,
}
COMPARISON_FIGURES = tuple(_DRAWN_ONLY)


@dataclass(frozen=True, slots=True)
class FigureDescription:
    """What a figure shows.

    Attributes:
        name: One of ``FIGURES``.
        summary: One sentence.
        options: What it takes beside the trials.
    """

    name: str
    summary: str
    options: tuple[str, ...]


def describe_figures() -> tuple[FigureDescription, ...]:
    """All figures, in the order to show them."""
    return tuple(
        FigureDescription(name, str(figure.compute.__doc__).partition("\n")[0], _options(figure))
        for name, figure in _FIGURES.items()
    )


def compute_figure(
    name: str, table: TrialTable, *, gradient_evaluations: Budget | None = None, **options: Any
) -> FigureData:
    """The data of a figure.

    Args:
        name: One of ``FIGURES``.
        table: The trials.
        gradient_evaluations: Cut every trial at this budget, as in :func:`summarize`.
        **options: What the figure takes, such as ``split`` or ``metric``; None is the default.

    Raises:
        UnknownNameError: An unknown figure, or a name in an option is unknown.
        InvalidOptionError: The figure takes no such option, or needs one that is missing.
        NotAvailableError: The trials cannot show it.
    """
    figure = _require(name)
    taken = _options(figure)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in taken:
            raise InvalidOptionError(
                "unknown_option", f"Figure {name!r} takes no {option!r}.", taken
            )
    if name == "heatmap" and "metric" not in given:
        raise InvalidOptionError("missing_metric", "A heatmap needs a metric.", HEATMAP_METRICS)
    table.require_finished()
    table, budget = at_budget(table, gradient_evaluations)
    found = figure.compute(table, **given)
    if budget is None:
        return found
    note = f"every trial cut at {budget:.4g} gradient evaluations"
    return found.model_copy(update={"notes": [note, *found.notes]})


def compute_comparison_figure(name: str, comparison: SweepComparison) -> FigureData:
    """The data of a figure of several sweeps.

    Args:
        name: One of ``COMPARISON_FIGURES``.
        comparison: What :func:`service.summaries.compare_sweeps` found.

    Raises:
        UnknownNameError: An unknown figure.
        NotAvailableError: Profiles need two workloads.
    """
    if name == "side-by-side":
        return side_by_side.side_by_side(comparison)
    if name != "performance-profiles":
        raise UnknownNameError("figure", name, COMPARISON_FIGURES)
    if comparison.workloads is None:
        raise NotAvailableError(
            "needs_two_workloads",
            "Performance profiles need sweeps of at least two workloads; these have one.",
            ("side-by-side",),
        )
    return performance_profiles(comparison.workloads)


def draw(figure: FigureData, *, theme: str = "light") -> dict[str, Any]:
    """The Vega-Lite specification of a figure, with its data in it.

    Args:
        figure: What :func:`compute_figure` or :func:`performance_profiles` returned.
        theme: "light" or "dark".

    Raises:
        UnknownNameError: An unknown theme.
    """
    colours = theme_of(theme)
    draw_chart = _DRAWN_ONLY.get(figure.name) or _require(figure.name).draw
    with schemapi.debug_mode(False):
        return themed(draw_chart(figure, colours), figure.records, colours)


def export_figure(figure: FigureData, file_format: str, *, theme: str = "light") -> bytes:
    """A figure as json or csv (its data), vega-lite, svg or png.

    Raises:
        UnknownNameError: An unknown format or theme.
    """
    if file_format not in MEDIA_TYPES:
        raise UnknownNameError("format", file_format, MEDIA_TYPES)
    if file_format == "json":
        return figure.model_dump_json().encode()
    if file_format == "csv":
        return records_csv(figure)
    spec = draw(figure, theme=theme)
    if file_format == "vega-lite":
        return json.dumps(spec).encode()
    return render(spec, file_format)


def _options(figure: _Figure) -> tuple[str, ...]:
    """What a figure takes beside the table."""
    return tuple(name for name in signature(figure.compute).parameters if name != "table")


def _require(name: str) -> _Figure:
    """A figure by its name."""
    if name not in _FIGURES:
        raise UnknownNameError("figure", name, _FIGURES)
    return _FIGURES[name]
