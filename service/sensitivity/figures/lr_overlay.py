"""The score by learning rate of the same optimizer in several sweeps, in one panel."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import SHORT_LABEL, score_axis
from service.sensitivity.figures.figure_data import Datum, FigureData
from service.sensitivity.figures.theme import OPTIMIZER_COLOURS, RECORDS, Theme, titled
from service.sensitivity.sweep_comparison import SweepComparison

__all__ = ["draw_lr_overlay", "lr_overlay"]

_WIDTH, _HEIGHT, _COLUMNS = 270, 200, 3


def lr_overlay(comparison: SweepComparison) -> FigureData:
    """The score by learning rate, at the validation-best choice of all others.

    Args:
        comparison: Result of :func:`service.sensitivity.compare_sweeps`.

    Returns:
        One record per sweep, optimizer and learning rate: ``sweep_id``, ``sweep``, ``optimizer``,
        ``title``, ``learning_rate``, ``value`` (null where no trial has finished).

    Raises:
        NotAvailableError: No sweep has two learning rates of an optimizer.
    """
    sweeps = {sweep.sweep_id: sweep.title for sweep in comparison.sweeps}
    records: list[Datum] = [
        {
            "sweep_id": headline.sweep_id,
            "sweep": sweeps[headline.sweep_id],
            "optimizer": headline.optimizer,
            "title": headline.title,
            "learning_rate": rate,
            "value": value,
        }
        for headline in comparison.headlines
        if len(headline.lr_curve) > 1
        for rate, value in zip(headline.learning_rates, headline.lr_curve, strict=True)
    ]
    if not records:
        raise NotAvailableError(
            "needs_two_learning_rates",
            "No sweep is a grid of two or more learning rates.",
            ("side-by-side",),
        )
    return FigureData(
        name="learning-rates",
        title="Score by learning rate",
        notes=["on the evaluation split, at the validation-best choice of all others"],
        records=records,
        scales={"score": comparison.sweeps[0].score},
    )


def draw_lr_overlay(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per optimizer, one line per sweep."""
    sweeps = [str(sweep) for sweep in figure.values("sweep")]
    rates = sorted({float(record["learning_rate"] or 0) for record in figure.records})
    colours = [OPTIMIZER_COLOURS[at % len(OPTIMIZER_COLOURS)] for at in range(len(sweeps))]
    x = alt.X(
        "learning_rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(values=rates, labelExpr=SHORT_LABEL, labelOverlap=True),
    )
    lines = (
        alt.Chart(RECORDS)
        .transform_filter("isValid(datum.value)")
        .mark_line(point={"size": 36}, strokeWidth=2)
        .encode(
            x=x,
            y=score_axis(figure, "value"),
            color=alt.Color(
                "sweep:N",
                title=None,
                scale=alt.Scale(domain=sweeps, range=colours),
                legend=alt.Legend(orient="bottom", columns=1, labelLimit=600),
            ),
            tooltip=["sweep:N", "title:N", "learning_rate:Q", "value:Q"],
        )
        .properties(width=_WIDTH, height=_HEIGHT)
    )
    optimizers = [str(title) for title in figure.values("title")]
    facet = alt.Facet("title:N", title=None, sort=optimizers)
    panels = lines.facet(facet=facet, columns=_COLUMNS)
    return panels.properties(title=titled(figure.title, figure.notes))
