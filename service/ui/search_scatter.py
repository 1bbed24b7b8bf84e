"""Scatter plot of a random or TPE search: accuracy over learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.theme import RECORDS, theme_of, themed, titled
from service.trials.repository import BestConfiguration
from service.ui.labels import optimizer_title
from service.ui.links import configuration_query

__all__ = ["MAX_CONFIGURATIONS", "draw_search_scatter", "search_records"]

MAX_CONFIGURATIONS = 2_000
"""Only so many configurations, the best ones, are drawn."""

_MAX_PANELS_PER_ROW = 3
_SIZE = 190


def search_records(configurations: Sequence[BestConfiguration], trials_path: str) -> list[Datum]:
    """One record per configuration, the best last so that it is drawn on top.

    Args:
        configurations: Best first.
        trials_path: Path of the page with the list of trials.
    """
    return [
        {
            "title": optimizer_title(best.optimizer),
            "learning_rate": best.learning_rate,
            "weight_decay": best.weight_decay,
            "accuracy": best.accuracy,
            "trials": f"{trials_path}?"
            + configuration_query(best.optimizer, best.learning_rate, best.weight_decay),
        }
        for best in reversed(configurations)
    ]


def draw_search_scatter(
    records: list[Datum], titles: list[str], theme: str = "light"
) -> dict[str, Any]:
    """Draw one panel per optimizer: learning rate to the right, weight decay up.

    The colour of a point is its validation accuracy; a point links to its trials.

    Args:
        records: Result of :func:`search_records`.
        titles: Display names of the optimizers, in the order of the panels.
        theme: "light" or "dark".

    Returns:
        The Vega-Lite specification.
    """
    points = (
        alt.Chart(RECORDS)
        .mark_circle(size=90, opacity=1, stroke="#888", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "learning_rate:Q",
                title="learning rate",
                scale=alt.Scale(type="log", nice=False, padding=12),
                axis=alt.Axis(format=".0e", tickCount=4),
            ),
            y=alt.Y(
                "weight_decay:Q",
                title="weight decay",
                scale=_decay_scale([float(str(record["weight_decay"])) for record in records]),
                axis=alt.Axis(format=".0e", tickCount=4),
            ),
            color=alt.Color(
                "accuracy:Q",
                title="validation accuracy",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(format="~%", orient="bottom", gradientLength=200),
            ),
            href="trials:N",
            tooltip=[
                alt.Tooltip("learning_rate:Q", title="learning rate", format=".3g"),
                alt.Tooltip("weight_decay:Q", title="weight decay", format=".3g"),
                alt.Tooltip("accuracy:Q", title="validation accuracy", format=".1%"),
            ],
        )
        .properties(width=_SIZE, height=_SIZE)
    )
    facet = alt.Facet("title:N", title=None, sort=titles)
    panels = points.facet(facet=facet, columns=_MAX_PANELS_PER_ROW)
    if len(records) == MAX_CONFIGURATIONS:
        panels = panels.properties(
            title=titled(f"The best {MAX_CONFIGURATIONS:,} configurations", [])
        )
    return themed(panels, records, theme_of(theme))


def _decay_scale(values: Sequence[float]) -> alt.Scale:
    """A logarithmic scale; linear near zero if some weight decay is 0."""
    if min(values) > 0:
        return alt.Scale(type="log", nice=False, padding=12)
    least = min((value for value in values if value > 0), default=1.0)
    return alt.Scale(type="symlog", constant=least / 10, nice=False, padding=12)
