"""Scatter plot of a random or TPE search: the score over two hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from service.sensitivity.figures.axes import SHORT_LABEL
from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.heatmap_plane import Plane
from service.sensitivity.figures.theme import RECORDS, theme_of, themed, titled
from service.sensitivity.hyperparameters import Axis, configuration_label, value_datum
from service.trials.repository import BestConfiguration
from service.ui.labels import optimizer_title
from service.ui.links import configuration_query
from workers.scores import SCORES, Score
from workers.spec.configuration import freeze_value

__all__ = ["MAX_CONFIGURATIONS", "draw_search_scatter", "search_records"]

MAX_CONFIGURATIONS = 2_000
"""Only so many configurations, the best ones, are drawn."""

_MAX_PANELS_PER_ROW = 3
_SIZE = 190


def search_records(
    configurations: Sequence[BestConfiguration], plane: Plane, trials_path: str
) -> list[Datum]:
    """One record per configuration, the best last so that it is drawn on top.

    Args:
        configurations: Best first; those of an optimizer without one of the axes are left out.
        plane: The two axes.
        trials_path: Path of the page with the list of trials.
    """
    return [
        {
            "title": optimizer_title(best.optimizer),
            "x": value_datum(freeze_value(best.hyperparameters[plane.x.name])),
            "y": value_datum(freeze_value(best.hyperparameters[plane.y.name])),
            "configuration": configuration_label(best.hyperparameters),
            "value": best.value,
            "trials": f"{trials_path}?" + configuration_query(best.optimizer, best.hyperparameters),
        }
        for best in reversed(configurations)
        if plane.x.name in best.hyperparameters and plane.y.name in best.hyperparameters
    ]


def draw_search_scatter(
    records: list[Datum],
    plane: Plane,
    titles: list[str],
    score: Score = SCORES["accuracy"],
    theme: str = "light",
) -> dict[str, Any]:
    """Draw one panel per optimizer over two hyperparameters.

    The colour of a point is its validation score, brighter is better; a point links to its trials.

    Args:
        records: Result of :func:`search_records`.
        plane: The two axes.
        titles: Display names of the optimizers, in the order of the panels.
        score: What ranks configurations.
        theme: "light" or "dark".

    Returns:
        The Vega-Lite specification.
    """
    title = f"validation {score.name}"
    points = (
        alt.Chart(RECORDS)
        .mark_circle(size=90, opacity=1, stroke="#888", strokeWidth=0.5)
        .encode(
            x=alt.X("x", **_channel(plane.x, plane.titles)),
            y=alt.Y("y", **_channel(plane.y, plane.titles)),
            color=alt.Color(
                "value:Q",
                title=title,
                scale=alt.Scale(scheme="viridis", reverse=score.direction == "minimize"),
                legend=alt.Legend(format=score.axis_format, orient="bottom", gradientLength=200),
            ),
            href="trials:N",
            tooltip=[
                alt.Tooltip("configuration:N", title="configuration"),
                alt.Tooltip("value:Q", title=title, format=score.tooltip_format),
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


def _channel(axis: Axis, titles: Mapping[str, str]) -> dict[str, Any]:
    """Type, scale and ticks of an axis: numbers on their scale, listed values equally far apart."""
    common = {"title": titles[axis.name]}
    if axis.scale == "ordinal":
        domain = list(map(value_datum, axis.values))
        ticks = alt.Axis(labelAngle=0, labelExpr=SHORT_LABEL)
        return common | {"type": "ordinal", "scale": alt.Scale(domain=domain), "axis": ticks}
    if axis.scale == "log":
        scale = alt.Scale(type="log", nice=False, padding=12)
        ticks = alt.Axis(format=".0e", tickCount=4)
    else:
        scale = alt.Scale(type="linear", nice=False, padding=12, zero=False)
        ticks = alt.Axis(labelExpr=SHORT_LABEL, tickCount=4)
    return common | {"type": "quantitative", "scale": scale, "axis": ticks}
