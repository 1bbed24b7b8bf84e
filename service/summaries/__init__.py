"""Tuning sensitivity: statistics of a sweep's trials, and the figures that show them.

    table = TrialTable.from_rows(rows, chance_accuracy=0.1)
    summary = summarize(table)
    png = export_figure(compute_figure("trace-heatmap", table), "png")

Pure: no database, no network, no torch.
"""

from service.summaries.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NotAvailableError,
    SummaryError,
    UnknownNameError,
)
from service.summaries.figures import (
    FIGURES,
    HEATMAP_METRICS,
    MEDIA_TYPES,
    FigureData,
    compute_figure,
    draw,
    export_figure,
    heatmap,
    render,
)
from service.summaries.schemas import OptimizerSummary, SweepSummary
from service.summaries.summary import common_budget, summarize
from service.summaries.table import History, TrialRow, TrialTable

__all__ = [
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "FigureData",
    "History",
    "InvalidOptionError",
    "InvalidTrialsError",
    "NotAvailableError",
    "OptimizerSummary",
    "SummaryError",
    "SweepSummary",
    "TrialRow",
    "TrialTable",
    "UnknownNameError",
    "common_budget",
    "compute_figure",
    "draw",
    "export_figure",
    "heatmap",
    "render",
    "summarize",
]
