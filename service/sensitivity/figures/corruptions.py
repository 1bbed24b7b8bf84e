"""Accuracy under each corruption and severity at the selected configuration."""

import statistics as mean_of
from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.figure_data import Datum, FigureData, of_workload
from service.sensitivity.figures.heatmap_layout import DARK_INK_ABOVE
from service.sensitivity.figures.theme import RECORDS, Theme, titled
from service.sensitivity.scores import score
from service.sensitivity.trial_result import TrialResult
from service.sensitivity.trial_table import TrialTable

__all__ = ["corruptions", "draw_corruptions"]

_MEAN = "mean"


def corruptions(table: TrialTable) -> FigureData:
    """Seed means by corruption and severity; by corruption alone where severities are unknown.

    Returns:
        One record per cell: ``optimizer``, ``title``, ``corruption``, ``severity`` ("1" to "5",
        "mean"), ``value``, ``n_seeds``.

    Raises:
        NotAvailableError: No trial of a selected configuration has accuracies by corruption.
    """
    records: list[Datum] = []
    for scores in score(table, resample=False):
        cells: dict[tuple[str, str], list[float]] = {}
        for trial in scores.trials.results[scores.selected]:
            for place, value in _cells(trial).items() if trial is not None else ():
                cells.setdefault(place, []).append(value)
        records += [
            {
                "optimizer": scores.trials.label,
                "title": scores.trials.title,
                "corruption": corruption,
                "severity": severity,
                "value": mean_of.fmean(values),
                "n_seeds": len(values),
            }
            for (corruption, severity), values in cells.items()
        ]
    if not records:
        raise NotAvailableError(
            "not_measured", "No accuracies by corruption were recorded.", ("accuracy-heatmap",)
        )
    numbers = [float(record["value"] or 0) for record in records]
    return FigureData(
        name="corruptions",
        title=f"Accuracy by corruption and severity{of_workload(table)}",
        notes=["at the validation-selected configuration of each optimizer, mean over seeds"],
        records=records,
        scales={
            "low": min(table.chance_accuracy, *numbers),
            "high": max(numbers),
            "severities": sorted({str(record["severity"]) for record in records}),
        },
    )


def draw_corruptions(figure: FigureData, theme: Theme) -> Any:
    """Draw corruption x severity, one panel per optimizer."""
    low, high = figure.scale("low"), figure.scale("high")
    names, severities = figure.values("corruption"), figure.scales["severities"]
    cells = alt.Chart().encode(
        x=alt.X("severity:N", sort=severities, title="severity", axis=alt.Axis(labelAngle=0)),  # type: ignore[arg-type]
        y=alt.Y(
            "corruption:N",
            sort=names,  # type: ignore[arg-type]
            title=None,
            axis=alt.Axis(labelExpr="replace(datum.label, /_/g, ' ')"),
        ),
    )
    bright = f"datum.value > {low + DARK_INK_ABOVE * (high - low)}"
    colour = alt.Color(
        "value:Q",
        title=None,
        scale=alt.Scale(domain=[low, high], scheme="viridis"),
        legend=alt.Legend(format=".0%", tickCount=5, gradientLength=min(110, 16 * len(names))),
    )
    ink = alt.when(bright).then(alt.value("#000000")).otherwise(alt.value("#ffffff"))
    text = cells.transform_calculate(label="format(100 * datum.value, '.0f')").mark_text(fontSize=9)
    return (
        alt.layer(
            cells.mark_rect(stroke=theme.background).encode(color=colour),
            text.encode(text="label:N", color=ink),
        )
        .properties(width=28 * len(severities), height=16 * len(names))  # type: ignore[arg-type]
        .facet(
            data=RECORDS,
            column=alt.Column("title:N", sort=figure.values("title"), title=None),  # type: ignore[arg-type]
            spacing=12,
        )
        .properties(title=titled(figure.title, figure.notes))
    )


def _cells(trial: TrialResult) -> dict[tuple[str, str], float]:
    """One trial's accuracies by (corruption, severity) and by (corruption, mean)."""
    found = {
        (corruption, str(severity)): value
        for corruption, levels in trial.ood_by_severity.items()
        for severity, value in levels.items()
    }
    return found | {
        (corruption, _MEAN): value for corruption, value in trial.ood_by_corruption.items()
    }
