"""The cost of a hyperparameter that is off by a factor: S(k), with seed intervals."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NeedsGridError, NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    SHORT_LABEL,
    banded_lines,
    has_intervals,
)
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    score_of,
    score_scales,
)
from service.sensitivity.figures.theme import Theme, titled
from service.sensitivity.hyperparameters import axis_named
from service.sensitivity.optimizer_schemas import OptimizerSummary
from service.sensitivity.strict_schema import Interval
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable
from workers.hyperparameter_text import axis_titles

__all__ = ["draw_tolerance", "tolerance"]

_INSTEAD = ("lr-curves", "importance")


def tolerance(table: TrialTable, axis: str | None = None) -> FigureData:
    """Cost of a learning rate that is too small or too large by a factor, all others tuned for it.

    Factors are relative to the best value of each optimizer, so that step sizes and initial step
    sizes can be compared, and the costs do not depend on the range of the grid.

    Args:
        table: The trials of a grid search.
        axis: Name of the hyperparameter; by default the learning rate, or the first one.

    Returns:
        One record per optimizer and factor: ``optimizer``, ``title``, ``factor`` (value over the
        best value), ``value`` (loss of score, corrected for seed noise where there is an interval),
        ``low`` and ``high`` of its seed interval (null with one seed). ``value`` is null where the
        grid does not reach so far.

    Raises:
        UnknownNameError: There is no such hyperparameter.
        NeedsGridError: Not a grid.
        NotAvailableError: No optimizer has three positive values of it.
    """
    if table.search != "grid":
        raise NeedsGridError("The cost of a wrong value", table.search, _INSTEAD)
    if not table.axes:
        raise NotAvailableError("needs_an_axis", "The search varies no hyperparameter.", _INSTEAD)
    shown = table.axes[0] if axis is None else axis_named(table.axes, axis)
    title = axis_titles(one.name for one in table.axes)[shown.name]
    summaries = summarize(table).optimizers
    records = [record for summary in summaries for record in _points(summary, shown.name)]
    if not records:
        raise NotAvailableError(
            "needs_three_values",
            f"No optimizer has results at three positive values of {title}: no cost of a wrong"
            " one.",
            _INSTEAD,
        )
    missing = [summary.title for summary in summaries if summary.axes[shown.name].tolerance is None]
    return FigureData(
        name="tolerance",
        title=f"Cost of a wrong {title}{of_workload(table)}",
        notes=[
            "lines end where the grid does; "
            + (
                "corrected for seed noise; bands: 95 % seed intervals"
                if has_intervals(records)
                else "one seed: no intervals"
            ),
            *([f"without three values of it: {', '.join(missing)}"] if missing else []),
        ],
        records=records,
        scales={
            **score_scales(table),
            "axis": shown.name,
            "x_title": f"{title} / its best value",
            "optimizers": [summary.title for summary in summaries],
        },
    )


def draw_tolerance(figure: FigureData, theme: Theme) -> Any:
    """Draw one line per optimizer over the factor, with seed bands."""
    factors = sorted(float(factor) for factor in figure.values("factor") if factor)
    x = alt.X(
        "factor:Q",
        title=str(figure.scales["x_title"]),
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(values=factors, labelExpr=SHORT_LABEL),
    )
    shown = score_of(figure)

    def y(field: str) -> alt.Y:
        title = f"{shown.name} lost"
        return alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=shown.axis_format))

    return (
        alt.layer(*banded_lines(figure, x, y))
        .properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
        .properties(title=titled(figure.title, figure.notes))
    )


def _points(summary: OptimizerSummary, axis: str) -> list[Datum]:
    """The records of one optimizer, by rising factor; none without a tolerance."""
    found = summary.axes[axis].tolerance
    if found is None:
        return []
    falling = sorted(found.off_by, key=lambda off: -off.factor)
    is_interval = any(off.too_small_interval or off.too_large_interval for off in falling)
    sides: list[tuple[float, float | None, Interval | None]] = [
        *((1 / off.factor, off.too_small, off.too_small_interval) for off in falling),
        (1.0, 0.0, Interval(low=0, high=0) if is_interval else None),
        *((off.factor, off.too_large, off.too_large_interval) for off in reversed(falling)),
    ]
    return [
        {
            "optimizer": summary.optimizer,
            "title": summary.title,
            "factor": factor,
            "value": value if made is None or made.estimate is None else made.estimate,
            "low": made.low if made else None,
            "high": made.high if made else None,
        }
        for factor, value, made in sides
    ]
