"""The figures of a sweep: one pure function computes what is shown, another draws Vega-Lite."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from altair.utils import schemapi

from service.summaries.errors import InvalidOptionError, UnknownNameError
from service.summaries.figures import best, corruptions, curves, heatmaps, profiles, rank, scatter
from service.summaries.figures.data import FigureData, Record
from service.summaries.figures.heatmaps import HEATMAP_METRICS, heatmap
from service.summaries.figures.profiles import performance_profiles
from service.summaries.figures.rendering import MEDIA_TYPES, PICTURE_FORMATS, records_csv, render
from service.summaries.figures.terminal import TerminalCell, TerminalPanel, terminal_heatmap
from service.summaries.figures.theme import THEMES, Theme, theme_of, themed
from service.summaries.table import TrialTable

__all__ = [
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "PICTURE_FORMATS",
    "THEMES",
    "FigureData",
    "Record",
    "TerminalCell",
    "TerminalPanel",
    "compute_figure",
    "draw",
    "export_figure",
    "heatmap",
    "performance_profiles",
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
_DRAWN_ONLY = {"performance-profiles": profiles.draw_performance_profiles}


def compute_figure(name: str, table: TrialTable, **options: Any) -> FigureData:
    """The data of a figure.

    Args:
        name: One of ``FIGURES``.
        table: The trials.
        **options: What the figure takes, such as ``split`` or ``metric``; None is the default.

    Raises:
        UnknownNameError: An unknown figure, or a name in an option is unknown.
        InvalidOptionError: The figure takes no such option, or needs one that is missing.
        NotAvailableError: The trials cannot show it.
    """
    compute = _require(name).compute
    taken = [parameter for parameter in signature(compute).parameters if parameter != "table"]
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in taken:
            raise InvalidOptionError(
                "unknown_option", f"Figure {name!r} takes no {option!r}.", taken
            )
    if name == "heatmap" and "metric" not in given:
        raise InvalidOptionError("missing_metric", "A heatmap needs a metric.", HEATMAP_METRICS)
    table.require_finished()
    return compute(table, **given)


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


def _require(name: str) -> _Figure:
    """A figure by its name."""
    if name not in _FIGURES:
        raise UnknownNameError("figure", name, _FIGURES)
    return _FIGURES[name]
