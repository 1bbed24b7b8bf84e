"""Figures of one trial: its metrics by epoch, as records and as Vega-Lite."""

from __future__ import annotations

from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.theme import (
    OPTIMIZER_COLOURS,
    RECORDS,
    theme_of,
    themed,
    titled,
)
from service.trials.schemas import TrialDetail
from service.ui.labels import metric_title
from workers.metrics import CURVATURE_CURVES

__all__ = ["TRIAL_FIGURES", "draw_trial_figure", "figure_title", "trial_records"]

TRIAL_FIGURES = {
    "accuracy": ("train_accuracy", "val_accuracy"),
    "loss": ("train_loss", "val_loss"),
    "step-size": ("step_size", "perturbation_radius"),
    "curvature": CURVATURE_CURVES[:5],
    "stability": ("stability_ratio",),
    "sharpness": ("worst_case_sharpness", "average_case_sharpness"),
    "gradient-noise": ("gradient_noise_scale",),
}
"""The metrics of each figure."""

_TITLES = {
    "accuracy": "Accuracy",
    "loss": "Loss",
    "curvature": "Curvature",
    "stability": "Stability ratio",
    "sharpness": "Adaptive m-sharpness",
    "gradient-noise": "Gradient noise scale (images)",
}
_LOGARITHMIC = {"step-size", "curvature", "sharpness", "gradient-noise"}
_FROM_TWO_EPOCHS = {"curvature", "stability", "sharpness", "gradient-noise"}
"""Figures of what is usually measured at the end alone, where the page has the number."""
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4]]

_WIDTH, _HEIGHT = 270, 180


def trial_records(name: str, trial: TrialDetail) -> list[Datum]:
    """The data of a figure: one record per epoch and metric.

    Args:
        name: Name of the figure; one that is not in ``TRIAL_FIGURES`` has no records.
        trial: A trial with its history.
    """
    is_log = name in _LOGARITHMIC
    records: list[Datum] = [
        {"metric": metric_title(metric), "epoch": epoch, "value": value}
        for metric in TRIAL_FIGURES.get(name, ())
        for epoch, value in trial.history.get(metric, ())
        if not is_log or value > 0
    ]
    if name in _FROM_TWO_EPOCHS and len({record["epoch"] for record in records}) < 2:
        return []
    return records


def figure_title(name: str, records: list[Datum]) -> str:
    """The title of a figure; step size and radius are named only if the trial has them."""
    if name == "step-size":
        return " and ".join(_metric_titles(records)).capitalize()
    return _TITLES[name]


def draw_trial_figure(name: str, trial: TrialDetail, theme: str = "light") -> dict[str, Any] | None:
    """The Vega-Lite specification of a figure.

    Args:
        name: Name of the figure.
        trial: A trial with its history.
        theme: "light" or "dark".

    Returns:
        The specification; None if there is no such figure or it would be empty.
    """
    records = trial_records(name, trial)
    if not records:
        return None
    colours = theme_of(theme)
    return themed(_lines(name, records), records, colours)


def _metric_titles(records: list[Datum]) -> list[str]:
    return list(dict.fromkeys(str(record["metric"]) for record in records))


def _lines(name: str, records: list[Datum]) -> Any:
    """One line per metric, distinguished by colour and dashes."""
    titles = _metric_titles(records)
    if name == "accuracy":
        y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~%"))
    elif name not in _LOGARITHMIC:
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
                scale=alt.Scale(domain=titles, range=_DASHES[: len(titles)]),
                legend=legend,
            ),
        )
        .properties(width=_WIDTH, height=_HEIGHT, title=titled(figure_title(name, records), []))
    )
