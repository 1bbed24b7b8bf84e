"""The curves of one trial: records from its history, then Vega-Lite."""

from __future__ import annotations

from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.theme import (
    OPTIMIZER_COLOURS,
    RECORDS,
    Theme,
    theme_of,
    themed,
    titled,
)
from service.trials.schemas import TrialDetail
from workers.metrics import METRICS

__all__ = ["TRIAL_FIGURES", "draw_trial", "trial_records"]

TRIAL_FIGURES = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "step-size": "Step size and perturbation radius",
}
_METRICS = {
    "accuracy": ("train_accuracy", "val_accuracy"),
    "loss": ("train_loss", "val_loss"),
    "step-size": ("step_size", "perturbation_radius"),
}
_WIDTH, _HEIGHT = 270, 180


def draw_trial(name: str, trial: TrialDetail, theme: str = "light") -> dict[str, Any] | None:
    """The Vega-Lite specification of a trial's figure.

    Args:
        name: One of ``TRIAL_FIGURES``.
        trial: With its history.
        theme: "light" or "dark".

    Returns:
        None where there is no such figure or nothing to show.
    """
    records = trial_records(name, trial)
    if not records:
        return None
    colours = theme_of(theme)
    return themed(_lines(name, records, colours), records, colours)


def trial_records(name: str, trial: TrialDetail) -> list[Datum]:
    """What a figure shows: a record an epoch and metric."""
    log = name == "step-size"
    return [
        {"metric": METRICS[metric].title, "epoch": epoch, "value": value}
        for metric in _METRICS.get(name, ())
        for epoch, value in trial.history.get(metric, ())
        if not log or value > 0
    ]


def _lines(name: str, records: list[Datum], theme: Theme) -> Any:
    """A line a metric, told apart by dashes too."""
    titles = list(dict.fromkeys(str(record["metric"]) for record in records))
    if name == "accuracy":
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~%"))
    elif name == "loss":
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    else:
        y = alt.Y("value:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format=".0e"))
    legend = alt.Legend(orient="bottom", columns=1)
    return (
        alt.Chart(RECORDS)
        .mark_line(strokeWidth=2, point={"size": 24})
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
            y=y,
            color=alt.Color(
                "metric:N",
                title=None,
                scale=alt.Scale(domain=titles, range=list(OPTIMIZER_COLOURS[: len(titles)])),
                legend=legend,
            ),
            strokeDash=alt.StrokeDash(
                "metric:N",
                title=None,
                scale=alt.Scale(domain=titles, range=[[1, 0], [6, 3]][: len(titles)]),
                legend=legend,
            ),
        )
        .properties(width=_WIDTH, height=_HEIGHT, title=titled(TRIAL_FIGURES[name], []))
    )
