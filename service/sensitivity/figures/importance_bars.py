"""Importance of each hyperparameter: the share of the variance of the score that it explains."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import has_intervals, panel_title
from service.sensitivity.figures.figure_data import Datum, FigureData, of_workload
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.importance import ImportanceShares, importance
from service.sensitivity.scores import Scores, score
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable
from workers.hyperparameter_text import axis_titles

__all__ = ["draw_importance_bars", "importance_bars"]

_INTERACTION = "interactions"
_WIDTH, _BAR_STEP = 170, 24
_PANELS_PER_ROW = 3


def importance_bars(table: TrialTable) -> FigureData:
    """Share of the variance of the score that each hyperparameter explains (fANOVA).

    Returns:
        One record per optimizer and hyperparameter of the sweep, and one for what none explains
        alone (``axis`` "interactions"): ``optimizer``, ``title``, ``axis``, ``axis_title``,
        ``value``, ``low`` and ``high`` of its seed interval (null without one), ``label``: the
        share in percent, or why there is none.

    Raises:
        NotAvailableError: It is undefined for every optimizer, or nothing is varied.
    """
    titles = axis_titles(axis.name for axis in table.axes)
    scored = score(table)
    shares = [(scores, importance(scores)) for scores in scored]
    records = [
        record for scores, of_optimizer in shares for record in _bars(scores, of_optimizer, titles)
    ]
    reasons = {scores.trials.title: found.reason for scores, found in shares if found.reason}
    if all(record["value"] is None for record in records):
        raise NotAvailableError(
            "needs_importance",
            f"No importance is defined: {' '.join(dict.fromkeys(reasons.values()))}"
            if reasons
            else "No hyperparameter has two values.",
            ("best", "expected-max"),
        )
    method = "" if table.search == "grid" else "estimated by a random forest; "
    intervals = "lines: 95 % seed intervals" if has_intervals(records) else "no intervals"
    return FigureData(
        name="importance",
        title=f"Importance of hyperparameters{of_workload(table)}",
        notes=[
            f"share of the variance of {table.score.name} over configurations; {method}{intervals}",
            *(f"{title}: {reason}" for title, reason in reasons.items()),
        ],
        records=records,
    )


def draw_importance_bars(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per optimizer with one bar per hyperparameter."""
    optimizers = [str(title) for title in figure.values("title")]
    axes = [str(title) for title in figure.values("axis_title")]
    panels = []
    for title in optimizers:
        own = alt.Chart(RECORDS).transform_filter(alt.datum.title == title)
        y = alt.Y(
            "axis_title:N",
            title=None,
            scale=alt.Scale(domain=axes),
            axis=alt.Axis(ticks=False, domain=False, labelLimit=200),
        )
        share = alt.Scale(domain=[0, 1])
        x = alt.X(
            "value:Q",
            title=None,
            scale=share,
            axis=alt.Axis(format=".0%", tickCount=4),
        )
        bars = own.mark_bar(height={"band": 0.6}).encode(
            x=x, y=y, color=optimizer_colour(optimizers, legend=False)
        )
        labels = own.transform_calculate(
            end="isValid(datum.high) ? datum.high : isValid(datum.value) ? datum.value : 0"
        ).mark_text(align="left", dx=4, fontSize=10, color=theme.ink)
        layers = [bars, labels.encode(x=alt.X("end:Q", scale=share), y=y, text="label:N")]
        if has_intervals(figure.where(title=title)):
            lines = own.transform_filter("isValid(datum.low)").mark_rule(
                color=theme.ink, strokeWidth=1.5
            )
            layers.insert(1, lines.encode(x=alt.X("low:Q", scale=share), x2="high:Q", y=y))
        panels.append(
            alt.layer(*layers).properties(
                title=panel_title(title), width=_WIDTH, height=_BAR_STEP * len(axes)
            )
        )
    return alt.concat(*panels, columns=_PANELS_PER_ROW, spacing=24).properties(
        title=titled(figure.title, figure.notes)
    )


def _bars(scores: Scores, shares: ImportanceShares, titles: dict[str, str]) -> list[Datum]:
    """The records of one optimizer."""
    trials = scores.trials
    records: list[Datum] = []
    for name, title in titles.items():
        index = trials.axis_index(name)
        value = interval = None
        absence = "not searched"
        if index is not None:
            absence = "–" if len(trials.axes[index]) > 1 else "one value"
            if len(trials.axes[index]) > 1:
                value, interval = shares.alone(index), shares.interval(index)
        records.append(
            {
                "optimizer": trials.label,
                "title": trials.title,
                "axis": name,
                "axis_title": title,
                "value": value,
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "label": absence if value is None else _percent(value),
            }
        )
    together = None if shares.shares is None else finite(shares.shares.interaction)
    rest: Datum = {"axis": _INTERACTION, "axis_title": _INTERACTION, "low": None, "high": None}
    label = "–" if together is None else _percent(together)
    return [*records, records[0] | rest | {"value": together, "label": label}]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
