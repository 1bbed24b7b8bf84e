"""Draw heatmaps with Vega-Lite: one row per metric, one panel per optimizer."""

from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import FigureData
from service.sensitivity.figures.heatmap_layout import (
    DARK_INK_ABOVE,
    HeatmapLayout,
    heatmap_layouts,
)
from service.sensitivity.figures.theme import RECORDS, Theme, decades, titled

__all__ = ["draw_heatmap", "draw_overview"]

# 1e-3 and 0.01, not 0.00000001 or 1e-2.
_SHORT = (
    "datum.value && abs(datum.value) < 0.01 ? format(datum.value, '.2~e') : format(datum.value,"
    " '.3~g')"
)
_CELL_WIDTH, _CELL_HEIGHT = 46, 34


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
    x = alt.X(
        "learning_rate:N",
        sort=list(layout.learning_rates),
        title="learning rate",
        axis=alt.Axis(labelAngle=0, labelExpr=_SHORT),
    )
    y = alt.Y(
        "weight_decay:N",
        sort=list(layout.weight_decays),
        title="weight decay",
        axis=alt.Axis(labelExpr=_SHORT),
    )
    cells = alt.Chart().transform_filter(alt.datum.panel == layout.title).encode(x=x, y=y)
    layers = alt.layer(*_backgrounds(cells, layout, theme), *_texts(cells, theme)).properties(
        width=_CELL_WIDTH * len(layout.learning_rates),
        height=_CELL_HEIGHT * len(layout.weight_decays),
    )
    titles = [panel.title for panel in layout.panels]
    return layers.facet(
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
        legend=alt.Legend(format=".0e", values=decades(*bounds), gradientLength=110)
        if layout.is_log
        else alt.Legend(format=".0%", tickCount=5, gradientLength=110),
    )
