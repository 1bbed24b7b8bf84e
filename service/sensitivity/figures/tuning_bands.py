"""Tuning curves with simultaneous confidence bands (Lourie, Cho & He 2023)."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import panel_title, score_axis
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    score_of,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable

__all__ = ["draw_tuning_bands", "tuning_bands"]

_WIDTH, _HEIGHT, _COLUMNS = 240, 180, 3


def tuning_bands(table: TrialTable) -> FigureData:
    """Median validation score of the best of n random configurations, with its band.

    Args:
        table: The trials.

    Returns:
        One record per point: ``optimizer``, ``title``, ``configurations``, ``value``, ``low``,
        ``high`` (the best score or that of a guess where the trials say nothing), ``mean``,
        ``mean_low``, ``mean_high``.

    Raises:
        NotAvailableError: The search is adaptive.
    """
    records: list[Datum] = []
    is_random = True
    for optimizer in summarize(table).optimizers:
        curve = optimizer.published.tuning_curve
        if curve is None:
            continue
        is_random = curve.is_random_sample
        columns = (
            *(curve.configurations, curve.median, curve.median_low, curve.median_high),
            *(curve.mean, curve.mean_low, curve.mean_high),
        )
        names = ("configurations", "value", "low", "high", "mean", "mean_low", "mean_high")
        records += [
            {
                "optimizer": optimizer.optimizer,
                "title": optimizer.title,
                **dict(zip(names, row, strict=True)),
            }
            for row in zip(*columns, strict=True)
        ]
    if not records:
        raise NotAvailableError(
            "adaptive_search",
            "The configurations of an adaptive search are no sample of one distribution.",
            ("expected-max",),
        )
    notes = ["median of the best of n; bands: 95 %, at every n at once, free of the distribution"]
    if not is_random:
        notes.append("the configurations are those of a grid; the bands take them as random draws")
    return FigureData(
        name="tuning-bands",
        title=f"Tuning curves{of_workload(table)}",
        notes=notes,
        records=records,
        scales=score_scales(table),
    )


def draw_tuning_bands(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per optimizer, on common axes."""
    optimizers = [str(title) for title in figure.values("title")]
    highest = max(float(record["configurations"] or 1) for record in figure.records)
    budget = alt.X(
        "configurations:Q",
        title="configurations tried",
        scale=alt.Scale(type="log", domain=[1, max(2.0, highest)], nice=False),
        axis=alt.Axis(format="d", values=_ticks(int(highest))),
    )
    panels = []
    for position, title in enumerate(optimizers):
        own = (
            alt.Chart(RECORDS)
            .transform_filter(alt.datum.title == title)
            .encode(x=budget, color=optimizer_colour(optimizers, legend=False))
        )
        axis_title = None if position % _COLUMNS else f"validation {score_of(figure).name}"
        panels.append(
            alt.layer(
                own.mark_area(interpolate="step-after", opacity=0.2).encode(
                    y=score_axis(figure, "low", title=axis_title), y2="high:Q"
                ),
                own.mark_line(interpolate="step-after", strokeWidth=2, point={"size": 16}).encode(
                    y=score_axis(figure, "value", title=axis_title)
                ),
            ).properties(title=panel_title(title), width=_WIDTH, height=_HEIGHT)
        )
    return (
        alt.concat(*panels, columns=_COLUMNS)
        .resolve_scale(y="shared")
        .properties(title=titled(figure.title, figure.notes))
    )


def _ticks(highest: int) -> list[int]:
    """1, 2, 5, 10, ... up to the largest budget."""
    steps = (factor * 10**power for power in range(len(str(highest))) for factor in (1, 2, 5))
    return [tick for tick in steps if tick <= highest]
