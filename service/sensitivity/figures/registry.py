"""Figures by name: compute their data, draw them with Vega-Lite, export them.

Each figure has two functions: a pure one that computes its data, and one that draws it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from altair.utils import schemapi

from service.sensitivity.errors import InvalidOptionError, NotAvailableError, UnknownNameError
from service.sensitivity.figures import (
    axis_curves,
    best,
    corruptions,
    expected_max,
    heatmap_drawing,
    heatmaps,
    importance_bars,
    learning_curves,
    lr_overlay,
    parallel_coordinates,
    profiles,
    rank,
    scatter,
    sensitivity_plane,
    side_by_side,
    tolerance,
    tuning_bands,
)
from service.sensitivity.figures.figure_data import FigureData
from service.sensitivity.figures.rendering import MEDIA_TYPES, records_csv, render
from service.sensitivity.figures.theme import Theme, theme_of, themed
from service.sensitivity.schemas import FigureView
from service.sensitivity.sweep_comparison import SweepComparison
from service.sensitivity.sweep_summary import Budget, at_budget
from service.sensitivity.trial_table import Search, TrialTable
from service.sensitivity.workloads import WorkloadsSummary

__all__ = [
    "COMPARISON_FIGURES",
    "FIGURES",
    "compute_comparison_figure",
    "compute_figure",
    "describe_figures",
    "draw",
    "export_figure",
    "page_figures",
]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of a sweep.

    Attributes:
        compute: Computes its data.
        draw: Draws them.
        title: Its name on the page; empty for one that page and report leave out, because another
            figure or a table shows the same.
        needs_grid: Whether only a grid search has it.
    """

    compute: Callable[..., FigureData]
    draw: Callable[[FigureData, Theme], Any]
    title: str = ""
    needs_grid: bool = False


_FIGURES: Mapping[str, _Figure] = {
    "best": _Figure(best.best, best.draw_best, "Best configurations"),
    "lr-curves": _Figure(
        axis_curves.axis_curves,
        axis_curves.draw_axis_curves,
        "By hyperparameter",
        needs_grid=True,
    ),
    "tolerance": _Figure(
        tolerance.tolerance, tolerance.draw_tolerance, "Cost of a wrong value", needs_grid=True
    ),
    "importance": _Figure(
        importance_bars.importance_bars, importance_bars.draw_importance_bars, "Importance"
    ),
    "parallel-coordinates": _Figure(
        parallel_coordinates.parallel_coordinates,
        parallel_coordinates.draw_parallel_coordinates,
        "Parallel coordinates",
    ),
    "expected-max": _Figure(
        expected_max.expected_max, expected_max.draw_expected_max, "Tuning budget"
    ),
    "tuning-bands": _Figure(
        tuning_bands.tuning_bands, tuning_bands.draw_tuning_bands, "Tuning curves"
    ),
    "rank": _Figure(rank.rank, rank.draw_rank, "Ranks"),
    "trace-heatmap": _Figure(heatmaps.trace_heatmap, heatmap_drawing.draw_heatmap, needs_grid=True),
    "accuracy-heatmap": _Figure(
        heatmaps.accuracy_heatmap, heatmap_drawing.draw_heatmap, needs_grid=True
    ),
    "heatmap": _Figure(heatmaps.heatmap, heatmap_drawing.draw_heatmap, needs_grid=True),
    "overview": _Figure(
        heatmaps.overview, heatmap_drawing.draw_overview, "All heatmaps", needs_grid=True
    ),
    "curvature-scatter": _Figure(
        scatter.curvature_scatter, scatter.draw_curvature_scatter, "Curvature"
    ),
    "corruptions": _Figure(corruptions.corruptions, corruptions.draw_corruptions, "Corruptions"),
    "learning-curves": _Figure(
        learning_curves.learning_curves, learning_curves.draw_learning_curves, "Learning curves"
    ),
}
FIGURES = tuple(_FIGURES)

# Computed from several sweeps by `compute_comparison_figure`.
_DRAWN_ONLY = {
    "side-by-side": side_by_side.draw_side_by_side,
    "learning-rates": lr_overlay.draw_lr_overlay,
    "performance-profiles": profiles.draw_performance_profiles,
    "sensitivity-plane": sensitivity_plane.draw_sensitivity_plane,
}
_OF_COMPARISON: Mapping[str, Callable[[SweepComparison], FigureData]] = {
    "side-by-side": side_by_side.side_by_side,
    "learning-rates": lr_overlay.lr_overlay,
}
_OF_WORKLOADS: Mapping[str, Callable[[WorkloadsSummary], FigureData]] = {
    "performance-profiles": profiles.performance_profiles,
    "sensitivity-plane": sensitivity_plane.sensitivity_plane,
}
COMPARISON_FIGURES = tuple(_DRAWN_ONLY)


def page_figures(search: Search) -> dict[str, str]:
    """Titles by name of the figures that page and report show of a search, in display order."""
    return {
        name: figure.title
        for name, figure in _FIGURES.items()
        if figure.title and (search == "grid" or not figure.needs_grid)
    }


def describe_figures() -> tuple[FigureView, ...]:
    """All figures of a sweep, in display order."""
    return tuple(
        FigureView(
            name=name,
            summary=str(figure.compute.__doc__).partition("\n")[0],
            options=list(_options(figure)),
        )
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
        **options: Options of the figure, such as ``split`` or ``metric``; None is the default.

    Raises:
        UnknownNameError: An unknown figure, or an unknown name in an option.
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
        raise InvalidOptionError(
            "missing_metric", "A heatmap needs a metric.", heatmaps.HEATMAP_METRICS
        )
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
        comparison: Result of :func:`service.sensitivity.compare_sweeps`.

    Raises:
        UnknownNameError: An unknown figure.
        NotAvailableError: Profiles and the plane need two workloads.
    """
    if name in _OF_COMPARISON:
        return _OF_COMPARISON[name](comparison)
    if name not in _OF_WORKLOADS:
        raise UnknownNameError("figure", name, COMPARISON_FIGURES)
    if comparison.workloads is None:
        raise NotAvailableError(
            "needs_two_workloads",
            f"Figure {name!r} needs sweeps of at least two workloads; these have one.",
            ("side-by-side",),
        )
    return _OF_WORKLOADS[name](comparison.workloads)


def draw(figure: FigureData, *, theme: str = "light") -> dict[str, Any]:
    """The Vega-Lite specification of a figure, with its data in it.

    Args:
        figure: Result of :func:`compute_figure` or :func:`compute_comparison_figure`.
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
    """The options of a figure: the parameters beside the table."""
    return tuple(name for name in signature(figure.compute).parameters if name != "table")


def _require(name: str) -> _Figure:
    """The figure with the given name."""
    if name not in _FIGURES:
        raise UnknownNameError("figure", name, _FIGURES)
    return _FIGURES[name]
