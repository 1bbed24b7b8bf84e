"""Several sweeps side by side: the headline numbers of every optimizer."""

from typing import Any

import altair as alt

from service.sensitivity.figures.axes import has_intervals, panel_title
from service.sensitivity.figures.figure_data import Datum, FigureData, score_of
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.sweep_comparison import Headline, SweepComparison

__all__ = ["draw_side_by_side", "side_by_side"]

_PANELS = {
    "score": "Selected configuration",
    "mean_score": "Mean over configurations",
    "lr_sensitivity": "Learning-rate sensitivity",
    "divergence_rate": "Diverged trials",
}
_SHARE = "divergence_rate"
_WIDTH, _STEP = 190, 13


def side_by_side(comparison: SweepComparison) -> FigureData:
    """Score, sensitivity and divergence of every optimizer in every sweep.

    Args:
        comparison: Result of :func:`service.sensitivity.compare_sweeps`.

    Returns:
        One record per point: ``panel``, ``sweep_id``, ``sweep``, ``optimizer``, ``title``,
        ``value``, ``low`` and ``high`` (null without an interval).
    """
    sweeps = {sweep.sweep_id: sweep.title for sweep in comparison.sweeps}
    records: list[Datum] = [
        _point(headline, sweeps[headline.sweep_id], field)
        for field in _PANELS
        for headline in comparison.headlines
        if getattr(headline, field) is not None
    ]
    ranked_by = comparison.sweeps[0].score
    notes = [f"{ranked_by} on the evaluation split; lower sensitivity is flatter"]
    if has_intervals(records):
        notes.append("lines: 95 % seed intervals")
    return FigureData(
        name="side-by-side",
        title=f"{len(sweeps)} sweeps side by side",
        notes=["; ".join(notes)],
        records=records,
        scales={
            "score": ranked_by,
            "n_optimizers": len({record["optimizer"] for record in records}),
        },
    )


def draw_side_by_side(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per statistic, one row per sweep, one point per optimizer."""
    optimizers = [str(title) for title in figure.values("title")]
    sweeps = [str(sweep) for sweep in figure.values("sweep")]
    panels = []
    for position, panel in enumerate(figure.values("panel")):
        y = alt.Y(
            "sweep:N",
            sort=sweeps,
            title=None,
            axis=None if position else alt.Axis(labelLimit=260, ticks=False, domain=False),
        )
        own = (
            alt.Chart(RECORDS)
            .transform_filter(alt.datum.panel == panel)
            .encode(
                y=y,
                yOffset=alt.YOffset("title:N", sort=optimizers),
                color=optimizer_colour(optimizers),
            )
        )
        is_share = panel == _PANELS[_SHARE]
        axis = alt.Axis(format="~%" if is_share else score_of(figure).axis_format, tickCount=5)
        scale = alt.Scale(zero=False, nice=True)
        lines = (
            own.transform_filter("isValid(datum.low)")
            .mark_rule(strokeWidth=1.5)
            .encode(x=alt.X("low:Q", axis=axis, scale=scale, title=None), x2="high:Q")
        )
        panels.append(
            alt.layer(
                *([lines] if has_intervals(figure.where(panel=panel)) else []),
                own.mark_point(filled=True, size=45, opacity=1).encode(
                    x=alt.X("value:Q", axis=axis, scale=scale, title=None)
                ),
            ).properties(
                title=panel_title(str(panel)),
                width=_WIDTH,
                height=_STEP * len(sweeps) * (len(optimizers) + 1),
            )
        )
    return alt.hconcat(*panels, spacing=18).properties(title=titled(figure.title, figure.notes))


def _point(headline: Headline, sweep: str, field: str) -> Datum:
    """The record of one point."""
    bounds = getattr(headline, f"{field}_interval", None)
    return {
        "panel": _PANELS[field],
        "sweep_id": headline.sweep_id,
        "sweep": sweep,
        "optimizer": headline.optimizer,
        "title": headline.title,
        "value": getattr(headline, field),
        "low": bounds.low if bounds else None,
        "high": bounds.high if bounds else None,
    }
