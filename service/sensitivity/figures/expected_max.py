"""Expected score along the tuning budget."""

from typing import Any, Literal, get_args

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    panel_title,
    score_axis,
)
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    require_option,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.optimizer_schemas import ExpectedCurve
from service.sensitivity.sweep_summary import summarize
from service.sensitivity.trial_table import TrialTable

__all__ = ["BUDGET_UNITS", "draw_expected_max", "expected_max"]

BudgetUnit = Literal["configurations", "gradient_evaluations"]
BUDGET_UNITS: tuple[str, ...] = get_args(BudgetUnit)


def expected_max(table: TrialTable, budget: BudgetUnit = "configurations") -> FigureData:
    """Expected best validation score, and the OOD score it selects, by tuning budget.

    Args:
        table: The trials.
        budget: Count configurations tried, or the gradient evaluations they cost.

    Returns:
        One record per point: ``panel``, ``optimizer``, ``title``, ``configurations``, ``budget``,
        ``value``.

    Raises:
        NotAvailableError: No gradient evaluations were recorded.
    """
    require_option("budget", budget, BUDGET_UNITS)
    summary, name = summarize(table), table.score.name
    records: list[Datum] = []
    for optimizer in summary.optimizers:
        cost = 1.0
        if budget == "gradient_evaluations":
            if optimizer.gradient_evaluations is None:
                raise NotAvailableError(
                    "not_measured",
                    f"No gradient evaluations of {optimizer.title} were recorded.",
                    ("budget=configurations",),
                )
            cost = optimizer.gradient_evaluations.per_trial
        curves: dict[str, ExpectedCurve | None] = {
            f"Expected best validation {name}": optimizer.expected_best_val_score,
            f"OOD {name} selected by it": optimizer.expected_selected_ood_score,
        }
        for panel, curve in curves.items():
            if curve is not None:
                records += [
                    {
                        "panel": panel,
                        "optimizer": optimizer.optimizer,
                        "title": optimizer.title,
                        "configurations": n,
                        "budget": n * cost,
                        "value": value,
                    }
                    for n, value in zip(curve.configurations, curve.values, strict=True)
                ]
    method = summary.optimizers[0].expected_best_val_score.method.replace("_", " ")
    return FigureData(
        name="expected-max",
        title=f"What a tuning budget buys{of_workload(table)}",
        notes=[f"the best by validation of n random configurations, {method}"],
        records=records,
        scales={
            **score_scales(table),
            "x_title": budget.replace("_", " ")
            + ("" if budget == "configurations" else " (all trials)"),
        },
    )


def draw_expected_max(figure: FigureData, theme: Theme) -> Any:
    """Draw the validation score, and beside it the OOD score that it selects."""
    optimizers = [str(label) for label in figure.values("title")]
    panels = [
        alt.Chart(RECORDS)
        .transform_filter(alt.datum.panel == panel)
        .mark_line(strokeWidth=2, point={"size": 18})
        .encode(
            x=alt.X("budget:Q", title=str(figure.scales["x_title"]), axis=alt.Axis(tickMinStep=1)),
            y=score_axis(figure, "value"),
            color=optimizer_colour(optimizers),
        )
        .properties(title=panel_title(str(panel)), width=PANEL_WIDTH, height=PANEL_HEIGHT)
        for panel in figure.values("panel")
    ]
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))
