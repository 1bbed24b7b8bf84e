"""Figures of a sweep and of several sweeps: data, Vega-Lite specifications, pictures."""

from service.sensitivity.figures.figure_data import Datum, FigureData
from service.sensitivity.figures.heatmap_layout import (
    HeatmapCell,
    HeatmapLayout,
    HeatmapPanel,
    heatmap_layouts,
)
from service.sensitivity.figures.heatmaps import HEATMAP_METRICS, heatmap
from service.sensitivity.figures.profiles import performance_profiles
from service.sensitivity.figures.registry import (
    COMPARISON_FIGURES,
    FIGURES,
    compute_comparison_figure,
    compute_figure,
    describe_figures,
    draw,
    export_figure,
    page_figures,
)
from service.sensitivity.figures.rendering import (
    DRAWN_FORMATS,
    MEDIA_TYPES,
    PICTURE_FORMATS,
    rasterize,
    render,
)
from service.sensitivity.figures.theme import THEMES, theme_of

__all__ = [
    "COMPARISON_FIGURES",
    "DRAWN_FORMATS",
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "PICTURE_FORMATS",
    "THEMES",
    "Datum",
    "FigureData",
    "HeatmapCell",
    "HeatmapLayout",
    "HeatmapPanel",
    "compute_comparison_figure",
    "compute_figure",
    "describe_figures",
    "draw",
    "export_figure",
    "heatmap",
    "heatmap_layouts",
    "page_figures",
    "performance_profiles",
    "rasterize",
    "render",
    "theme_of",
]
