"""Critical-difference diagram: mean ranks over configurations and Nemenyi's test (Demsar 2006)."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.figure_data import Datum, FigureData, of_workload
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.pairwise import common_scores
from service.sensitivity.rank_tests import MIN_BLOCKS, critical_difference, mean_ranks
from service.sensitivity.scores import score
from service.sensitivity.trial_table import TrialTable

__all__ = ["draw_rank", "rank"]


def rank(table: TrialTable) -> FigureData:
    """The critical-difference diagram.

    Returns:
        One record per optimizer (``kind`` "optimizer": ``start`` = ``end`` = its mean rank, 1 is
        best; ``optimizer``, ``title``) and one per group without a significant difference ("group":
        from ``start`` to ``end``); ``level`` is the line it is drawn on.

    Raises:
        NotAvailableError: Fewer than two optimizers or than five common configurations.
    """
    scored = score(table, resample=False)
    if len(scored) < 2:
        raise NotAvailableError(
            "needs_two_optimizers",
            "Ranks compare optimizers; only one has finished trials.",
            ("best",),
        )
    scores = common_scores(scored)
    if len(scores) < MIN_BLOCKS:
        raise NotAvailableError(
            "needs_blocks",
            f"Ranks need {MIN_BLOCKS} configurations that every optimizer was tried at; there are"
            f" {len(scores)}.",
            ("best", "expected-max"),
        )
    ranks = mean_ranks(scores).tolist()
    difference = critical_difference(len(scored), len(scores))
    entries = [(entry.trials.label, entry.trials.title) for entry in scored]
    by_rank = sorted(zip(ranks, entries, strict=True))
    records = [
        _mark("optimizer", (place, place), level, label, title)
        for level, (place, (label, title)) in enumerate(by_rank)
    ]
    groups = _groups([place for place, _ in by_rank], difference)
    records += [_mark("group", ends, level) for level, ends in enumerate(groups)]
    return FigureData(
        name="rank",
        title=f"Mean rank over {len(scores)} configurations{of_workload(table)}",
        notes=[
            f"1 is best; bars join optimizers closer than the critical difference {difference:.2f}"
            " (Nemenyi, 0.05)",
            "within this grid: configurations are not independent data sets",
        ],
        records=records,
        scales={
            "critical_difference": difference,
            "n_optimizers": len(scored),
            "optimizers": [title for _, title in entries],
        },
    )


def draw_rank(figure: FigureData, theme: Theme) -> Any:
    """Draw one line per optimizer, best on top; bars below join groups without a difference."""
    optimizers = figure.scales["optimizers"]
    n = int(figure.scale("n_optimizers"))
    groups = len(figure.where(kind="group"))
    x = alt.X(
        "start:Q",
        title="mean rank",
        scale=alt.Scale(domain=[1, n], nice=False, padding=10),
        axis=alt.Axis(orient="top", values=list(range(1, n + 1)), format="d"),
    )
    y = alt.Y(
        "level:Q",
        axis=None,
        scale=alt.Scale(domain=[-0.6, n + 0.5 * groups], reverse=True, nice=False),
    )
    points = alt.Chart(RECORDS).transform_filter("datum.kind == 'optimizer'").encode(x=x, y=y)
    bars = (
        alt.Chart(RECORDS)
        .transform_filter("datum.kind == 'group'")
        .transform_calculate(level=f"{n} + 0.5 * datum.level")
        .mark_rule(strokeWidth=4, strokeCap="round", color=theme.ink)
        .encode(x=x, x2="end:Q", y=y)
    )
    labelled = points.transform_calculate(text="datum.title + '  ' + format(datum.start, '.2f')")
    right, left = f"datum.start <= {(1 + n) / 2}", f"datum.start > {(1 + n) / 2}"
    return (
        alt.layer(
            points.mark_point(filled=True, size=110, opacity=1).encode(
                color=optimizer_colour([str(label) for label in optimizers], legend=False)  # type: ignore[union-attr]
            ),
            labelled.transform_filter(right)
            .mark_text(align="left", dx=10, color=theme.ink)
            .encode(text="text:N"),
            labelled.transform_filter(left)
            .mark_text(align="right", dx=-10, color=theme.ink)
            .encode(text="text:N"),
            bars,
        )
        .properties(width=420, height=26 * n + 14 * groups + 20)
        .properties(title=titled(figure.title, figure.notes))
    )


def _mark(
    kind: str,
    ends: tuple[float, float],
    level: int,
    optimizer: str | None = None,
    title: str | None = None,
) -> Datum:
    """The record of one mark."""
    return {
        "kind": kind,
        "optimizer": optimizer,
        "title": title,
        "start": ends[0],
        "end": ends[1],
        "level": level,
    }


def _groups(ranks: list[float], difference: float) -> list[tuple[float, float]]:
    """Maximal runs of sorted ranks no wider than the critical difference, of at least two."""
    runs: list[tuple[int, int]] = []
    for first, start in enumerate(ranks):
        last = max(i for i, end in enumerate(ranks) if end - start <= difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return [(ranks[first], ranks[last]) for first, last in runs]
