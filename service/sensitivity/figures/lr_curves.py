"""Accuracy along the learning rate, with seed intervals."""

from typing import Any

import altair as alt
import numpy as np

from service.sensitivity import statistics
from service.sensitivity.errors import NeedsGridError, NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    accuracy_axis,
    chance_line,
    has_intervals,
)
from service.sensitivity.figures.figure_data import Datum, FigureData, of_workload
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.intervals import percentile_interval
from service.sensitivity.optimizer_summary import learning_rate_role
from service.sensitivity.schemas import finite
from service.sensitivity.scores import score
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS

__all__ = ["draw_lr_curves", "lr_curves"]


def lr_curves(table: TrialTable) -> FigureData:
    """Accuracy at the validation-best weight decay of each learning rate.

    Returns:
        One record per learning rate and optimizer (``optimizer``, ``title``): ``value``, and
        ``low`` and ``high`` of its seed interval (null with one seed); ``value`` is null where no
        trial has finished.

    Raises:
        NeedsGridError: Not a grid.
        NotAvailableError: One learning rate only.
    """
    instead = ("expected-max", "curvature-scatter")
    if table.search != "grid":
        raise NeedsGridError("A curve along the learning rate", table.search, instead)
    if len(table.learning_rates) < 2:
        raise NotAvailableError(
            "needs_two_learning_rates", "The grid has one learning rate: no curve.", instead
        )
    records: list[Datum] = []
    for scores in score(table):
        val, evaluation = scores.grid(scores.val), scores.grid(scores.evaluation)
        if val is None or evaluation is None:
            continue
        curve = statistics.lr_curve(val, evaluation)
        resamples = None
        if scores.val_resamples is not None and scores.evaluation_resamples is not None:
            grids = scores.grid(scores.val_resamples), scores.grid(scores.evaluation_resamples)
            if grids[0] is not None and grids[1] is not None:
                resamples = statistics.lr_curve(grids[0], grids[1])
        counts = scores.trials.finished.sum(axis=1).reshape(val.shape)
        n_seeds = np.where(counts > 0, counts, counts.max()).min(axis=1).tolist()
        for at, (rate, value) in enumerate(zip(table.learning_rates, curve.tolist(), strict=True)):
            interval = (
                None
                if resamples is None
                else percentile_interval(
                    value, resamples[:, at], n_seeds[at], (table.chance_accuracy, 1.0)
                )
            )
            records.append(
                {
                    "optimizer": scores.trials.label,
                    "title": scores.trials.title,
                    "learning_rate": rate,
                    "value": finite(value),
                    "low": interval.low if interval else None,
                    "high": interval.high if interval else None,
                }
            )
    metric = METRICS["ood_accuracy" if table.has_ood else "val_accuracy"].title
    adaptive = [
        trials.title
        for trials in table.by_optimizer
        if learning_rate_role(trials.name) == "initial_step_size"
    ]
    return FigureData(
        name="lr-curves",
        title=f"{metric} by learning rate{of_workload(table)}",
        notes=[
            "at the validation-best weight decay; "
            + (
                "bands: 95 % seed intervals" if has_intervals(records) else "one seed: no intervals"
            ),
            *([f"{', '.join(adaptive)}: the initial step size only"] if adaptive else []),
        ],
        records=records,
        scales={"chance": table.chance_accuracy},
    )


def draw_lr_curves(figure: FigureData, theme: Theme) -> Any:
    """Draw lines over a log axis, with seed bands and the line of chance."""
    optimizers = [str(label) for label in figure.values("title")]
    x = alt.X(
        "learning_rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(values=figure.values("learning_rate"), format=".0e"),  # type: ignore[arg-type]
    )
    known = alt.Chart(RECORDS).transform_filter("isValid(datum.value)")
    colour = optimizer_colour(optimizers)
    bands = (
        known.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.18)
        .encode(x=x, y=accuracy_axis("low"), y2="high:Q", color=colour)
    )
    return (
        alt.layer(
            *([bands] if has_intervals(figure.records) else []),
            known.mark_line(point={"size": 36}, strokeWidth=2).encode(
                x=x, y=accuracy_axis("value"), color=colour
            ),
            chance_line(figure, theme),
        )
        .properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
        .properties(title=titled(figure.title, figure.notes))
    )
