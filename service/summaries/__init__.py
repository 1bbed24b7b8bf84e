"""Tuning sensitivity: statistics of a sweep's trials, and the figures that show them.

    table = TrialTable.from_rows(rows, chance_accuracy=0.1)
    summary = summarize(table)
    png = export_figure(compute_figure("trace-heatmap", table), "png")

Pure: no database, no network, no torch.
"""

from service.summaries.compared import SweepComparison, SweepToCompare, compare_sweeps
from service.summaries.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NeedsGridError,
    NotAvailableError,
    SummaryError,
    UnknownNameError,
)
from service.summaries.figures import (
    COMPARISON_FIGURES,
    FIGURES,
    HEATMAP_METRICS,
    MEDIA_TYPES,
    FigureData,
    FigureDescription,
    compute_comparison_figure,
    compute_figure,
    describe_figures,
    draw,
    export_figure,
    heatmap,
    performance_profiles,
    render,
    terminal_heatmap,
)
from service.summaries.report import html_report
from service.summaries.schemas import OptimizerSummary, SweepSummary
from service.summaries.summary import common_budget, summarize
from service.summaries.table import History, TrialRow, TrialTable
from service.summaries.tables import (
    SummaryTable,
    comparison_csv,
    comparison_table,
    render_table,
    summary_csv,
    summary_latex,
)
from service.summaries.workloads import WorkloadsSummary, compare_workloads

__all__ = [
    "COMPARISON_FIGURES",
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "FigureData",
    "FigureDescription",
    "History",
    "InvalidOptionError",
    "InvalidTrialsError",
    "NeedsGridError",
    "NotAvailableError",
    "OptimizerSummary",
    "SummaryError",
    "SummaryTable",
    "SweepComparison",
    "SweepSummary",
    "SweepToCompare",
    "TrialRow",
    "TrialTable",
    "UnknownNameError",
    "WorkloadsSummary",
    "common_budget",
    "compare_sweeps",
    "compare_workloads",
    "comparison_csv",
    "comparison_table",
    "compute_comparison_figure",
    "compute_figure",
    "describe_figures",
    "draw",
    "export_figure",
    "heatmap",
    "html_report",
    "performance_profiles",
    "render",
    "render_table",
    "summarize",
    "summary_csv",
    "summary_latex",
    "terminal_heatmap",
]
