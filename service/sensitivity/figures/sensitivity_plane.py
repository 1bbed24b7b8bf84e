"""Performance-sensitivity plane over several workloads (Adkins, Bowling & White 2024)."""

from typing import Any

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import panel_title
from service.sensitivity.figures.figure_data import Datum, FigureData
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.workloads import WorkloadsSummary

__all__ = ["draw_sensitivity_plane", "sensitivity_plane"]

_WIDTH, _HEIGHT = 300, 240
_PLANE, _CURVES = "plane", "curve"


def sensitivity_plane(summary: WorkloadsSummary) -> FigureData:
    """Performance tuned on each workload against what one configuration for all loses of it.

    Args:
        summary: Result of :func:`service.sensitivity.compare_workloads`.

    Returns:
        One record per optimizer in the panel ``plane`` (``x`` is Phi, ``y`` the performance, ``d``
        the effective dimension), and one per number of hyperparameters tuned in the panel ``curve``
        (``x`` that number, ``y`` the score); all with ``panel``, ``optimizer``, ``title``.

    Raises:
        NotAvailableError: No optimizer was tried at a common configuration on every workload.
    """
    records: list[Datum] = []
    for optimizer in summary.optimizers:
        plane = optimizer.published.plane
        if plane is None:
            continue
        common: Datum = {"optimizer": optimizer.optimizer, "title": optimizer.title}
        records.append(
            {
                "panel": _PLANE,
                **common,
                "x": plane.sensitivity,
                "y": plane.performance,
                "d": plane.dimension,
            }
        )
        records += [
            {"panel": _CURVES, **common, "x": tuned, "y": score, "d": plane.dimension}
            for tuned, score in enumerate(plane.tuned)
        ]
    if not records:
        raise NotAvailableError(
            "no_common_configuration",
            "No optimizer was tried at a common configuration on every workload.",
            ("side-by-side", "performance-profiles"),
        )
    records.sort(key=lambda record: record["panel"] != _PLANE)
    return FigureData(
        name="sensitivity-plane",
        title=f"Performance and sensitivity over {len(summary.workloads)} workloads",
        notes=[
            "score: 0 and 1 at the 5th and 95th percentile of each workload; better: up and left",
            "workloads: " + ", ".join(summary.workloads),
        ],
        records=records,
    )


def draw_sensitivity_plane(figure: FigureData, theme: Theme) -> Any:
    """Draw the plane, and beside it the score by the number of hyperparameters tuned."""
    optimizers = [str(label) for label in figure.values("title")]
    colour = optimizer_colour(optimizers)
    score = alt.Y("y:Q", title="score tuned per workload", scale=alt.Scale(zero=False))
    points = (
        alt.Chart(RECORDS)
        .transform_filter(alt.datum.panel == _PLANE)
        .mark_point(filled=True, size=110, opacity=1)
        .encode(
            x=alt.X(
                "x:Q",
                title="sensitivity Φ: lost by one configuration for all",
                scale=alt.Scale(zero=True, nice=True),
            ),
            y=score,
            color=colour,
        )
        .properties(
            title=panel_title("Performance-sensitivity plane"), width=_WIDTH, height=_HEIGHT
        )
    )
    most = max(int(float(record["x"] or 0)) for record in figure.where(panel=_CURVES))
    lines = (
        alt.Chart(RECORDS)
        .transform_filter(alt.datum.panel == _CURVES)
        .mark_line(strokeWidth=2, point={"size": 30})
        .encode(
            x=alt.X(
                "x:Q",
                title="hyperparameters tuned per workload",
                axis=alt.Axis(values=list(range(most + 1)), format="d"),
            ),
            y=alt.Y("y:Q", title="score", scale=alt.Scale(zero=False)),
            color=colour,
        )
        .properties(title=panel_title("Effective dimension"), width=_WIDTH, height=_HEIGHT)
    )
    return alt.hconcat(points, lines).properties(title=titled(figure.title, figure.notes))
