"""Export formats of summaries and comparisons; those of figures are in ``figures.rendering``."""

from collections.abc import Iterable

from service.sensitivity.errors import UnknownNameError
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.sweep_comparison import SweepComparison
from service.sensitivity.table_files import comparison_csv, summary_csv, summary_latex

__all__ = [
    "COMPARISON_FORMATS",
    "SUMMARY_FORMATS",
    "export_comparison",
    "export_summary",
    "require_format",
]

SUMMARY_FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "latex": "application/x-latex; charset=utf-8",
}
"""Media types by format."""
COMPARISON_FORMATS = {name: SUMMARY_FORMATS[name] for name in ("json", "csv")}


def export_summary(summary: SweepSummary, file_format: str) -> bytes:
    """A summary as json, csv or latex.

    Raises:
        UnknownNameError: An unknown format.
    """
    require_format(file_format, SUMMARY_FORMATS)
    match file_format:
        case "csv":
            return summary_csv(summary)
        case "latex":
            return summary_latex(summary).encode()
        case _:
            return summary.model_dump_json().encode()


def export_comparison(comparison: SweepComparison, file_format: str) -> bytes:
    """A comparison as json or csv.

    Raises:
        UnknownNameError: An unknown format.
    """
    require_format(file_format, COMPARISON_FORMATS)
    return (
        comparison_csv(comparison)
        if file_format == "csv"
        else comparison.model_dump_json().encode()
    )


def require_format(got: str, allowed: Iterable[str]) -> None:
    """Check a format, before anything is computed for it.

    Raises:
        UnknownNameError: It is not one of ``allowed``.
    """
    if got not in allowed:
        raise UnknownNameError("format", got, allowed)
