"""Tuning sensitivity: statistics of a sweep's trials, summaries and figures.

    table = TrialTable.from_results(results, chance_accuracy=0.1)
    summary = summarize(table)
    png = export_figure(compute_figure("trace-heatmap", table), "png")

Pure: no database, no network, no torch.
"""

from service.sensitivity.calibration_table import calibration_table
from service.sensitivity.errors import (
    InvalidOptionError,
    InvalidTrialsError,
    NeedsGridError,
    NotAvailableError,
    SummaryError,
    UnknownNameError,
)
from service.sensitivity.export import (
    COMPARISON_FORMATS,
    SUMMARY_FORMATS,
    export_comparison,
    export_summary,
)
from service.sensitivity.figures import (
    COMPARISON_FIGURES,
    FIGURES,
    HEATMAP_METRICS,
    MEDIA_TYPES,
    FigureData,
    compute_comparison_figure,
    compute_figure,
    describe_figures,
    draw,
    export_figure,
    heatmap,
    heatmap_layouts,
    performance_profiles,
    render,
)
from service.sensitivity.further_test_set_table import further_test_set_table
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.pairs_matrix import pairs_matrix
from service.sensitivity.published_tables import (
    gain_table,
    published_comparison_table,
    published_table,
)
from service.sensitivity.report import html_report
from service.sensitivity.schemas import FigureView, SweepSummary
from service.sensitivity.summary_tables import (
    SummaryTable,
    axis_table,
    comparison_table,
    pairs_table,
    render_table,
)
from service.sensitivity.sweep_comparison import SweepComparison, SweepToCompare, compare_sweeps
from service.sensitivity.sweep_summary import common_budget, summarize
from service.sensitivity.table_files import comparison_csv, summary_csv, summary_latex
from service.sensitivity.trial_result import History, TrialResult
from service.sensitivity.trial_table import TrialTable
from service.sensitivity.workloads import WorkloadsSummary, compare_workloads

__all__ = [
    "COMPARISON_FIGURES",
    "COMPARISON_FORMATS",
    "FIGURES",
    "HEATMAP_METRICS",
    "MEDIA_TYPES",
    "SUMMARY_FORMATS",
    "Axis",
    "FigureData",
    "FigureView",
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
    "TrialResult",
    "TrialTable",
    "UnknownNameError",
    "WorkloadsSummary",
    "axis_table",
    "calibration_table",
    "common_budget",
    "compare_sweeps",
    "compare_workloads",
    "comparison_csv",
    "comparison_table",
    "compute_comparison_figure",
    "compute_figure",
    "describe_figures",
    "draw",
    "export_comparison",
    "export_figure",
    "export_summary",
    "further_test_set_table",
    "gain_table",
    "heatmap",
    "heatmap_layouts",
    "html_report",
    "pairs_matrix",
    "pairs_table",
    "performance_profiles",
    "published_comparison_table",
    "published_table",
    "render",
    "render_table",
    "summarize",
    "summary_csv",
    "summary_latex",
]
