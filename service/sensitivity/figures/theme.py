"""Colours and fonts of every figure: light and dark themes, safe for colour-blind readers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from service.sensitivity.errors import UnknownNameError
from service.sensitivity.figures.figure_data import Datum

__all__ = [
    "OPTIMIZER_COLOURS",
    "THEMES",
    "Theme",
    "decades",
    "optimizer_colour",
    "theme_of",
    "themed",
    "titled",
]

# Okabe & Ito 2008, "Color universal design", blue first: the colour of SA-SAM in the paper's
# figures.
OPTIMIZER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")

# The data source of every chart; `themed` inserts the records.
RECORDS = alt.NamedData("records")

_MOST_TICKS = 8

_FONT = "DejaVu Sans, Verdana, Liberation Sans, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of everything but the data."""

    background: str
    ink: str
    faint: str
    grid: str
    diverged: str
    negative: str


THEMES = {
    "light": Theme("#ffffff", "#1a1a1a", "#666666", "#e3e3e3", "#c9c9c9", "#d7301f"),
    "dark": Theme("#14171c", "#e8e8e8", "#a0a6ad", "#343a42", "#4a4f57", "#ff8b6b"),
}


def theme_of(name: str) -> Theme:
    """The theme with the given name.

    Raises:
        UnknownNameError: It is neither "light" nor "dark".
    """
    if name not in THEMES:
        raise UnknownNameError("theme", name, THEMES)
    return THEMES[name]


def optimizer_colour(labels: Sequence[str], *, legend: bool = True) -> alt.Color:
    """The same colour for the same optimizer in every figure of a sweep."""
    colours = [OPTIMIZER_COLOURS[i % len(OPTIMIZER_COLOURS)] for i in range(len(labels))]
    return alt.Color(
        "title:N",
        title=None,
        scale=alt.Scale(domain=list(labels), range=colours),
        legend=alt.Legend(symbolOpacity=1) if legend else None,
    )


def decades(low: float, high: float) -> list[float]:
    """Ticks of a log axis: the powers of ten within bounds, thinned to a few."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, math.ceil((last - first + 1) / _MOST_TICKS))
    return [10.0**power for power in range(first, last + 1, step)]


def titled(title: str, notes: Sequence[str]) -> alt.TitleParams:
    """A title with notes below it."""
    return alt.TitleParams(text=title, subtitle=list(notes))


def themed(chart: Any, records: Sequence[Datum], theme: Theme) -> dict[str, Any]:
    """The Vega-Lite specification of a chart over records, in a theme.

    The records are added after the chart is built, because Altair would copy and validate each of
    them. Nor does it validate the specification, which the tests do: validation takes longer than
    all other steps together.
    """
    spec: dict[str, Any] = chart if isinstance(chart, dict) else chart.to_dict(validate=False)
    spec["datasets"] = {"records": list(records)}
    text = {"labelColor": theme.ink, "titleColor": theme.ink}
    spec["config"] = {
        "font": _FONT,
        "background": theme.background,
        "view": {"stroke": None, "continuousWidth": 260, "continuousHeight": 200},
        "axis": text
        | {
            "gridColor": theme.grid,
            "domainColor": theme.faint,
            "tickColor": theme.faint,
            "labelFontSize": 10,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
        },
        "header": text | {"labelFontSize": 12, "labelFontWeight": "bold", "titleFontSize": 11},
        "legend": text | {"labelFontSize": 10, "titleFontSize": 10, "titleFontWeight": "normal"},
        "title": {
            "color": theme.ink,
            "subtitleColor": theme.faint,
            "fontSize": 14,
            "subtitleFontSize": 10,
            "anchor": "start",
            "offset": 12,
        },
        "text": {"color": theme.ink},
    }
    return spec
