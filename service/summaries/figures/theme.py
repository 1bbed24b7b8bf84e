"""How every figure looks: light or dark, in colours that colour-blind readers tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from service.summaries.errors import UnknownNameError

__all__ = [
    "OPTIMIZER_COLOURS",
    "THEMES",
    "Theme",
    "optimizer_colour",
    "theme_of",
    "themed",
    "titled",
]

# Okabe & Ito 2008, "Color universal design", blue first: the colour of SA-SAM in the paper's
# figures.
OPTIMIZER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")

_FONT = "DejaVu Sans, Verdana, Liberation Sans, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of what is not data."""

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
    """A theme by its name.

    Raises:
        UnknownNameError: It is neither "light" nor "dark".
    """
    if name not in THEMES:
        raise UnknownNameError("theme", name, THEMES)
    return THEMES[name]


def optimizer_colour(labels: Sequence[Any], **legend: Any) -> alt.Color:
    """The same colour for the same optimizer in every figure of a sweep."""
    colours = [OPTIMIZER_COLOURS[i % len(OPTIMIZER_COLOURS)] for i in range(len(labels))]
    return alt.Color(
        "optimizer:N",
        title=None,
        scale=alt.Scale(domain=list(labels), range=colours),
        legend=alt.Legend(**legend) if legend else alt.Legend(),
    )


def titled(title: str, notes: Sequence[str]) -> alt.TitleParams:
    """A title with its notes under it."""
    return alt.TitleParams(text=title, subtitle=list(notes))


def themed(chart: Any, theme: Theme) -> dict[str, Any]:
    """The Vega-Lite specification of a chart in a theme."""
    spec: dict[str, Any] = chart.to_dict(format="vega-lite", context={"pre_transform": False})
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
