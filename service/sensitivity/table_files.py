"""Summaries and comparisons as files: CSV for programs, LaTeX for papers."""

from collections.abc import Mapping
from typing import Any

from service.sensitivity.dotted import flatten, write_csv
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.schemas import SweepSummary
from service.sensitivity.summary_tables import render_table
from service.sensitivity.sweep_comparison import SweepComparison
from workers.hyperparameter_text import value_text
from workers.spec.configuration import freeze_value

__all__ = ["comparison_csv", "summary_csv", "summary_latex"]


def summary_csv(summary: SweepSummary) -> bytes:
    """Every scalar of every optimizer, one row per optimizer; nested ones have dotted names.

    Curves (lists) are left out: the figures export them as CSV.
    """
    return write_csv(
        _scalars(optimizer.model_dump(exclude=_sentences_in(optimizer)))
        for optimizer in summary.optimizers
    )


def comparison_csv(comparison: SweepComparison) -> bytes:
    """The headline numbers, one row per sweep and optimizer."""
    sweeps = {sweep.sweep_id: sweep for sweep in comparison.sweeps}
    return write_csv(
        {"sweep": sweeps[headline.sweep_id].title, **_scalars(headline.model_dump())}
        for headline in comparison.headlines
    )


def summary_latex(summary: SweepSummary) -> str:
    """The table of :func:`render_table` for the booktabs package."""
    table = render_table(summary)
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_tex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*(f"% {note}" for note in table.notes), *lines, ""])


def _sentences_in(optimizer: OptimizerSummary) -> dict[str, Any]:
    """Parts of a summary that are text for readers; of undefined measures the code remains."""
    return {
        "axes": {name: {"title", "undefined"} for name in optimizer.axes},
        "published": {"undefined": {name: {"message"} for name in optimizer.published.undefined}},
    }


def _scalars(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars by dotted name; a list that is a value of a hyperparameter is text."""
    return {
        name: value_text(freeze_value(value)) if isinstance(value, list) else value
        for name, value in flatten(fields)
        if not isinstance(value, list) or "hyperparameters." in name
    }


_TEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "†": r"$^\dagger$",
        "–": "--",
    }
)


def _tex(text: str) -> str:
    """Escape text for LaTeX."""
    return text.translate(_TEX)
