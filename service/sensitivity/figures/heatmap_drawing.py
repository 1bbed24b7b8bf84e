"""Draw heatmaps with Vega-Lite: one row per metric, one panel per optimizer."""

from typing import Any

import altair as alt

from service.sensitivity.figures.axes import SHORT_LABEL
from service.sensitivity.figures.figure_data import FigureData
from service.sensitivity.figures.heatmap_layout import (
    DARK_INK_ABOVE,
    HeatmapLayout,
    heatmap_layouts,
)
from service.sensitivity.figures.theme import RECORDS, Theme, decades, titled

__all__ = ["draw_heatmap", "draw_overview"]

_CELL_WIDTH, _CELL_HEIGHT = 46, 34
_LETTER_WIDTH = 6


def draw_heatmap(figure: FigureData, theme: Theme) -> Any:
    """Draw one metric, panels side by side."""
    (layout,) = heatmap_layouts(figure)
    return _panels(layout, theme).properties(title=titled(figure.title, figure.notes))


def draw_overview(figure: FigureData, theme: Theme) -> Any:
    """Draw several metrics, one row of panels per metric and split."""
    rows = [
        _panels(layout, theme).properties(title=layout.title).to_dict(validate=False)
        for layout in heatmap_layouts(figure)
    ]
    # Joined as dictionaries: Altair would copy every row again for each one it is joined with.
    return {
        "$schema": rows[0]["$schema"],
        "title": {"text": figure.title, "subtitle": figure.notes},
        "vconcat": [
            {name: part for name, part in row.items() if name not in ("$schema", "config")}
            for row in rows
        ],
        "resolve": {"scale": {"color": "independent"}},
    }


def _panels(layout: HeatmapLayout, theme: Theme) -> Any:
    """One layered heatmap per optimizer on one colour scale."""
    width = _cell_width(layout) * len(layout.x_values)
    height = _CELL_HEIGHT * len(layout.y_values)
    x = alt.X(
        "x:N",
        scale=alt.Scale(domain=list(layout.x_values)),
        title=layout.x_title,
        axis=alt.Axis(labelAngle=0, labelExpr=SHORT_LABEL, labelLimit=0),
    )
    y = alt.Y(
        "y:N",
        scale=alt.Scale(domain=list(layout.y_values)),
        title=layout.y_title,
        axis=alt.Axis(labelExpr=SHORT_LABEL, labelLimit=0),
    )
    own = alt.Chart().transform_filter(alt.datum.panel == layout.title)
    cells = own.transform_filter("datum.state != 'absent'").encode(x=x, y=y)
    layers = [*_backgrounds(cells, layout, theme), *_texts(cells, theme)]
    if any(panel.absence for panel in layout.panels):
        layers.append(_absence(own, width, height, theme))
    panels = alt.layer(*layers).properties(width=width, height=height)
    titles = [panel.title for panel in layout.panels]
    return panels.facet(
        data=RECORDS, column=alt.Column("title:N", sort=titles, title=None), spacing=12
    )


def _backgrounds(cells: Any, layout: HeatmapLayout, theme: Theme) -> list[Any]:
    """The rectangle of each state."""
    filled = cells.transform_filter("datum.state == 'value' && !datum.negative")
    negative = cells.transform_filter("datum.negative")
    low_end = "#00204c" if layout.is_log else "#440154"
    return [
        filled.mark_rect(stroke=theme.background).encode(color=_colour(layout)),
        negative.mark_rect(fill=low_end, stroke=theme.negative, strokeWidth=2.5),
        cells.transform_filter("datum.state == 'diverged'").mark_rect(
            fill=theme.diverged, stroke=theme.background
        ),
        cells.transform_filter("datum.state == 'missing'").mark_rect(
            fillOpacity=0, stroke=theme.faint, strokeDash=[2, 2], strokeWidth=0.7
        ),
    ]


def _absence(own: Any, width: int, height: int, theme: Theme) -> Any:
    """The reason in place of the cells of an optimizer that lacks one of the axes."""
    return (
        own.transform_filter("datum.state == 'absent'")
        .mark_text(fontSize=10, color=theme.faint, limit=width)
        .encode(x=alt.value(width / 2), y=alt.value(height / 2), text="label:N")
    )


def _cell_width(layout: HeatmapLayout) -> int:
    """Width of a cell in points: wide enough for the longest category."""
    texts = [value for value in layout.x_values if isinstance(value, str)]
    return max(_CELL_WIDTH, _LETTER_WIDTH * max(map(len, texts), default=0) + 8)


def _texts(cells: Any, theme: Theme) -> list[Any]:
    """The label of each cell, above its note where it has one."""
    has_note = "datum.note != ''"
    ink = (
        alt.when("datum.state != 'value'")
        .then(alt.value(theme.ink))
        .when(f"datum.shade > {DARK_INK_ABOVE}")
        .then(alt.value("#000000"))
        .otherwise(alt.value("#ffffff"))
    )
    alone, noted = cells.transform_filter(f"!({has_note})"), cells.transform_filter(has_note)
    return [
        alone.mark_text(fontSize=10).encode(text="label:N", color=ink),
        noted.mark_text(fontSize=10, dy=-6).encode(text="label:N", color=ink),
        noted.mark_text(fontSize=8, dy=7).encode(text="note:N", color=ink),
    ]


def _colour(layout: HeatmapLayout) -> alt.Color:
    """The colour scale with its legend: cividis for log scales, viridis for linear ones."""
    bounds = [layout.low, layout.high]
    return alt.Color(
        "value:Q",
        title=None,
        scale=alt.Scale(
            type="log" if layout.is_log else "linear",
            domain=bounds,
            clamp=True,
            scheme="cividis" if layout.is_log else "viridis",
        ),
        legend=alt.Legend(format=layout.tick_format, values=decades(*bounds), gradientLength=110)
        if layout.is_log
        else alt.Legend(format=layout.tick_format, tickCount=5, gradientLength=110),
    )
