"""Performance profiles over several workloads (Dolan & More 2002)."""

from typing import Any

import altair as alt

from service.sensitivity.figures.figure_data import Datum, FigureData
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.workloads import WorkloadsSummary
from workers.scores import SCORES

__all__ = ["draw_performance_profiles", "performance_profiles"]


def performance_profiles(summary: WorkloadsSummary) -> FigureData:
    """Share of workloads whose target an optimizer reaches within tau times the fewest trials.

    Args:
        summary: Result of :func:`service.sensitivity.compare_workloads`.

    Returns:
        One record per point: ``optimizer``, ``title``, ``tau``, ``share``.
    """
    score = SCORES[summary.score]
    records: list[Datum] = [
        {"optimizer": optimizer.optimizer, "title": optimizer.title, "tau": tau, "share": share}
        for optimizer in summary.optimizers
        for tau, share in zip(summary.taus, optimizer.performance_profile, strict=True)
    ]
    return FigureData(
        name="performance-profiles",
        title=f"Tuning trials to target over {len(summary.workloads)} workloads",
        notes=[
            f"target: within {score.points(summary.epsilon)} of a workload's best {score.name};"
            " higher is better",
            "workloads: " + ", ".join(summary.workloads),
        ],
        records=records,
    )


def draw_performance_profiles(figure: FigureData, theme: Theme) -> Any:
    """Draw one step line per optimizer."""
    optimizers = [str(label) for label in figure.values("title")]
    return (
        alt.Chart(RECORDS)
        .mark_line(interpolate="step-after", strokeWidth=2, opacity=0.9)
        .encode(
            x=alt.X("tau:Q", title="times the fewest trials", scale=alt.Scale(zero=False)),
            y=alt.Y(
                "share:Q",
                title="share of workloads",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="~%"),
            ),
            color=optimizer_colour(optimizers),
        )
        .properties(width=340, height=220)
        .properties(title=titled(figure.title, figure.notes))
    )
