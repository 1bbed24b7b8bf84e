"""Performance profiles over several workloads (Dolan & More 2002)."""

from typing import Any

import altair as alt

from service.sensitivity.figures.axes import panel_title
from service.sensitivity.figures.figure_data import Datum, FigureData
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.workloads import OptimizerAcrossWorkloads, WorkloadsSummary
from workers.scores import SCORES

__all__ = ["draw_performance_profiles", "performance_profiles"]

_WIDTH, _HEIGHT = 260, 200


def performance_profiles(summary: WorkloadsSummary) -> FigureData:
    """Share of workloads whose target an optimizer reaches within tau times the lowest cost.

    Args:
        summary: Result of :func:`service.sensitivity.compare_workloads`.

    Returns:
        One record per point: ``panel`` (the cost), ``optimizer``, ``title``, ``tau``, ``share``.
    """
    score = SCORES[summary.score]
    records: list[Datum] = [
        {
            "panel": panel,
            "optimizer": optimizer.optimizer,
            "title": optimizer.title,
            "tau": tau,
            "share": share,
        }
        for optimizer in summary.optimizers
        for panel, shares in _profiles(optimizer).items()
        for tau, share in zip(summary.taus, shares, strict=True)
    ]
    return FigureData(
        name="performance-profiles",
        title=f"Cost to target over {len(summary.workloads)} workloads",
        notes=[
            f"target: within {score.points(summary.epsilon)} of a workload's best {score.name};"
            " higher is better",
            "fastest trial: gradient evaluations of the cheapest trial that reaches it",
            "workloads: " + ", ".join(summary.workloads),
        ],
        records=records,
    )


def draw_performance_profiles(figure: FigureData, theme: Theme) -> Any:
    """Draw one panel per cost, one step line per optimizer."""
    optimizers = [str(label) for label in figure.values("title")]
    panels = [
        alt.Chart(RECORDS)
        .transform_filter(alt.datum.panel == panel)
        .mark_line(interpolate="step-after", strokeWidth=2, opacity=0.9)
        .encode(
            x=alt.X("tau:Q", title="times the lowest cost", scale=alt.Scale(zero=False)),
            y=alt.Y(
                "share:Q",
                title=None if position else "share of workloads",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="~%"),
            ),
            color=optimizer_colour(optimizers),
        )
        .properties(title=panel_title(str(panel)), width=_WIDTH, height=_HEIGHT)
        for position, panel in enumerate(figure.values("panel"))
    ]
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))


def _profiles(optimizer: OptimizerAcrossWorkloads) -> dict[str, list[float]]:
    """The profiles of one optimizer by cost."""
    return {
        "Configurations tried": optimizer.performance_profile,
        "Gradient evaluations of the search": optimizer.published.gradient_evaluations_profile,
        "Gradient evaluations of the fastest trial": optimizer.published.fastest_profile,
    }
