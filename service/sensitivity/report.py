"""HTML report of a sweep: one self-contained page with summary, caveats and figures."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.sensitivity.calibration_table import calibration_table
from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures import (
    FigureData,
    compute_figure,
    draw,
    page_figures,
    render,
)
from service.sensitivity.further_test_set_table import further_test_set_table
from service.sensitivity.published_tables import gain_table, published_table
from service.sensitivity.summary_tables import axis_table, pairs_table, render_table
from service.sensitivity.sweep_summary import Budget, at_budget, summarize
from service.sensitivity.trial_table import TrialTable

__all__ = ["TEMPLATES", "html_report"]

TEMPLATES = Path(__file__).parent
"""Folder of the templates, among them ``tables.html``, which the page uses as well."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A drawn figure; a separate image, so that the ids of several SVGs do not collide."""

    title: str
    source: str


def html_report(
    table: TrialTable,
    *,
    theme: str = "light",
    gradient_evaluations: Budget | None = None,
    draw_svg: Callable[[FigureData], bytes] | None = None,
) -> str:
    """The summary, its caveats, the comparisons and every available figure.

    Args:
        table: The trials.
        theme: "light" or "dark".
        gradient_evaluations: Cut every trial at this budget, as in
            :func:`service.sensitivity.summarize`.
        draw_svg: Draws a figure as SVG; by default without a cache.

    Raises:
        NotAvailableError: No trial has finished.
        UnknownNameError: An unknown theme.
    """
    summary = summarize(table, gradient_evaluations=gradient_evaluations)
    table, _ = at_budget(table, gradient_evaluations)
    titles = {trials.label: trials.title for trials in table.by_optimizer}
    draw_svg = draw_svg or (lambda figure: render(draw(figure, theme=theme), "svg"))
    pictures = [_picture(name, table, draw_svg) for name in page_figures(table.search)]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html").render(
        summary=summary,
        summary_table=render_table(summary),
        axis_table=axis_table(summary),
        calibration_table=calibration_table(summary),
        further_test_set_table=further_test_set_table(summary),
        pairs_table=pairs_table(summary),
        published_tables=[published_table(summary), gain_table(summary)],
        figures=[picture for picture in pictures if picture is not None],
        theme=theme,
        titles_of=lambda caveat: [titles.get(label, label) for label in caveat.optimizers],
    )


def _picture(
    name: str, table: TrialTable, draw_svg: Callable[[FigureData], bytes]
) -> _Picture | None:
    """A figure as a data URL; None if not available."""
    try:
        figure = compute_figure(name, table)
    except NotAvailableError:
        return None
    encoded = base64.b64encode(draw_svg(figure)).decode()
    return _Picture(figure.title, f"data:image/svg+xml;base64,{encoded}")
