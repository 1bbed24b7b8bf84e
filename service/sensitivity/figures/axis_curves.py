"""The score along one hyperparameter, with seed intervals."""

from functools import partial
from typing import Any

import altair as alt

from service.sensitivity.axis_summary import axis_curve
from service.sensitivity.errors import NeedsGridError, NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    SHORT_LABEL,
    banded_lines,
    chance_line,
    has_intervals,
    score_axis,
)
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    metric_of,
    of_workload,
    score_scales,
)
from service.sensitivity.figures.theme import Theme, titled
from service.sensitivity.hyperparameters import axis_named, ordered, value_datum
from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_summary import learning_rate_role
from service.sensitivity.score_values import oriented_range, score_interval
from service.sensitivity.scores import Scores, score
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable
from workers.hyperparameter_text import axis_titles
from workers.metrics import METRICS

__all__ = ["axis_curves", "draw_axis_curves"]

_INSTEAD = ("expected-max", "curvature-scatter")


def axis_curves(table: TrialTable, axis: str | None = None) -> FigureData:
    """The score along one hyperparameter, at the validation-best choice of all others.

    Args:
        table: The trials of a grid search.
        axis: Name of the hyperparameter; by default the learning rate, or the first one.

    Returns:
        One record per value and optimizer that has the hyperparameter (``optimizer``, ``title``):
        ``x`` (also under the name of the axis), ``value``, and ``low`` and ``high`` of its seed
        interval (null with one seed); ``value`` is null where no trial has finished.

    Raises:
        UnknownNameError: There is no such hyperparameter.
        NeedsGridError: Not a grid.
        NotAvailableError: One value only.
    """
    if table.search != "grid":
        raise NeedsGridError("A curve along a hyperparameter", table.search, _INSTEAD)
    axes = table.axes
    if not axes:
        raise NotAvailableError("needs_an_axis", "The search varies no hyperparameter.", _INSTEAD)
    shown = axes[0] if axis is None else axis_named(axes, axis)
    title = axis_titles(one.name for one in axes)[shown.name]
    if len(shown) < 2:
        raise NotAvailableError(
            "needs_two_learning_rates" if shown.name == "learning_rate" else "needs_two_values",
            f"The grid has one {title}: no curve.",
            _INSTEAD,
        )
    scored = score(table)
    records = [record for scores in scored for record in _points(scores, shown.name, table)]
    metric = METRICS[metric_of(table)].title
    adaptive = [
        trials.title
        for trials in table.by_optimizer
        if shown.name == "learning_rate"
        and learning_rate_role(table, trials) == "initial_step_size"
    ]
    others = _others(table, shown.name)
    without = [s.trials.title for s in scored if s.trials.axis_index(shown.name) is None]
    return FigureData(
        name="lr-curves",
        title=f"{metric} by {title}{of_workload(table)}",
        notes=[
            (f"at the validation-best {others}; " if others else "")
            + (
                "bands: 95 % seed intervals" if has_intervals(records) else "one seed: no intervals"
            ),
            *([f"without this hyperparameter: {', '.join(without)}"] if without else []),
            *([f"{', '.join(adaptive)}: the initial step size only"] if adaptive else []),
        ],
        records=records,
        scales={
            **score_scales(table),
            "axis": shown.name,
            "x_title": title,
            "x_scale": shown.scale,
            "x_values": list(map(value_datum, shown.values)),
            "optimizers": [scores.trials.title for scores in scored],
        },
    )


def draw_axis_curves(figure: FigureData, theme: Theme) -> Any:
    """Draw lines over the hyperparameter, with seed bands and the line of chance."""
    lines = banded_lines(figure, _horizontal(figure), partial(score_axis, figure))
    return (
        alt.layer(*lines, chance_line(figure, theme))
        .properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
        .properties(title=titled(figure.title, figure.notes))
    )


def _points(scores: Scores, name: str, table: TrialTable) -> list[Datum]:
    """The records of one optimizer; none without the hyperparameter."""
    trials = scores.trials
    index = trials.axis_index(name)
    if index is None or trials.shape is None:
        return []
    shape = trials.shape
    curve = axis_curve(scores.val, scores.evaluation, shape, index)
    errors = [
        repeated.errors(lambda by, values: {"": axis_curve(by, values, shape, index)})[""]
        for repeated in scores.repeated
    ]
    records: list[Datum] = []
    limits = (table.chance, oriented_range(table.score)[1])
    for at, value in enumerate(trials.axes[index].values):
        oriented = interval(float(curve[at]), [error[:, at] for error in errors], limits)
        made = score_interval(table.score, oriented)
        x = value_datum(value)
        records.append(
            {
                "optimizer": trials.label,
                "title": trials.title,
                "x": x,
                name: x,
                "value": finite(table.score.oriented(float(curve[at]))),
                "low": made.low if made else None,
                "high": made.high if made else None,
            }
        )
    return records


def _others(table: TrialTable, name: str) -> str:
    """The other hyperparameters of the optimizers that have one, in words."""
    own = [trials.axes for trials in table.by_optimizer if trials.axis_index(name) is not None]
    names = ordered(axis.name for axes in own for axis in axes if axis.name != name)
    return ", ".join(axis_titles(names).values())


def _horizontal(figure: FigureData) -> alt.X:
    """The horizontal axis: numbers on their scale, ordinal values equally far apart."""
    values, title = figure.scales["x_values"], str(figure.scales["x_title"])
    if figure.scales["x_scale"] == "ordinal":
        return alt.X(
            "x:O",
            title=title,
            scale=alt.Scale(domain=values),  # type: ignore[arg-type]
            axis=alt.Axis(labelAngle=0, labelExpr=SHORT_LABEL),
        )
    is_log = figure.scales["x_scale"] == "log"
    return alt.X(
        "x:Q",
        title=title,
        scale=alt.Scale(type="log", nice=False, padding=8)
        if is_log
        else alt.Scale(type="linear", nice=False, padding=8, zero=False),
        axis=alt.Axis(values=values, labelExpr=SHORT_LABEL),  # type: ignore[arg-type]
    )
