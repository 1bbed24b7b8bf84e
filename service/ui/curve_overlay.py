"""Learning curves of several trials in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from service.sensitivity.figures.axes import SHORT_LABEL
from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.theme import (
    OPTIMIZER_COLOURS,
    RECORDS,
    theme_of,
    themed,
    titled,
)
from service.storage import TrialRow
from service.ui.labels import metric_title, optimizer_title
from workers.hyperparameter_text import axis_titles, value_text
from workers.metrics import CURVATURE_CURVES, METRICS

__all__ = ["MAX_OVERLAID", "curve_metrics", "draw_overlay", "overlay_records", "trial_titles"]

MAX_OVERLAID = 20
_DASHES = ([1, 0], [6, 3], [2, 2])
_WIDTH, _HEIGHT = 520, 280


def curve_metrics(trials: Sequence[TrialRow]) -> list[str]:
    """Metrics of which some trial may have a curve, the scores first."""
    measured = {name for trial in trials for name in trial.metrics}
    by_epoch = [name for name, metric in METRICS.items() if metric.when == "epoch"]
    names = dict.fromkeys(("val_accuracy", "val_loss", *by_epoch, *CURVATURE_CURVES))
    return [name for name in names if name in measured and name != "epoch"]


def trial_titles(trials: Sequence[TrialRow]) -> dict[str, str]:
    """A short name of each trial by key: its optimizer, and the values in which trials differ."""
    names = dict.fromkeys(name for trial in trials for name in trial.hyperparameters)
    differing = [
        name
        for name in names
        if len({value_text(trial.hyperparameters.get(name)) for trial in trials}) > 1
    ]
    titles = axis_titles(names, short=True)
    has_seeds = len({trial.seed for trial in trials}) > 1
    return {
        trial.key: " ".join(
            [
                optimizer_title(trial.optimizer),
                *(
                    f"{titles[name]} {value_text(trial.hyperparameters[name])}"
                    for name in differing
                    if name in trial.hyperparameters
                ),
                *([f"seed {trial.seed}"] if has_seeds else []),
            ]
        )
        for trial in trials
    }


def overlay_records(
    trials: Sequence[TrialRow], curves: Mapping[str, Sequence[tuple[int, float]]]
) -> list[Datum]:
    """The data of the figure: one record per epoch and trial.

    Args:
        trials: The trials, in the order of the legend.
        curves: (epoch, value) of the metric, by trial key.
    """
    titles = trial_titles(trials)
    return [
        {"trial": titles[trial.key], "key": trial.key, "epoch": epoch, "value": value}
        for trial in trials
        for epoch, value in curves.get(trial.key, ())
    ]


def draw_overlay(metric: str, records: Sequence[Datum], theme: str = "light") -> dict[str, Any]:
    """The Vega-Lite specification of the figure, one line per trial.

    Args:
        metric: Name of the metric.
        records: Result of `overlay_records`.
        theme: "light" or "dark".
    """
    titles = list(dict.fromkeys(str(record["trial"]) for record in records))
    places = range(len(titles))
    n_colours = len(OPTIMIZER_COLOURS)
    is_share = metric.endswith("accuracy")
    axis = alt.Axis(format="~%") if is_share else alt.Axis(labelExpr=SHORT_LABEL)
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=_WIDTH)
    chart = (
        alt.Chart(RECORDS)
        .mark_line(strokeWidth=2, point={"size": 24})
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=axis),
            color=alt.Color(
                "trial:N",
                title=None,
                scale=alt.Scale(
                    domain=titles, range=[OPTIMIZER_COLOURS[at % n_colours] for at in places]
                ),
                legend=legend,
            ),
            strokeDash=alt.StrokeDash(
                "trial:N",
                title=None,
                scale=alt.Scale(
                    domain=titles, range=[_DASHES[at // n_colours % len(_DASHES)] for at in places]
                ),
                legend=legend,
            ),
            tooltip=[
                alt.Tooltip("trial:N"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("value:Q", format=".2~%" if is_share else ".4~g"),
            ],
        )
        .properties(width=_WIDTH, height=_HEIGHT, title=titled(metric_title(metric), []))
    )
    return themed(chart, records, theme_of(theme))
