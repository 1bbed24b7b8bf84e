"""Accuracy along something: the learning rate, the tuning budget, the epochs."""

from typing import Any, Literal

import altair as alt
import numpy as np

from service.summaries import statistics
from service.summaries.errors import InvalidOptionError, NeedsGridError, NotAvailableError
from service.summaries.figures.data import FigureData, Record, of_workload
from service.summaries.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.summaries.intervals import percentile_interval
from service.summaries.optimizer_summary import learning_rate_role
from service.summaries.schemas import ExpectedCurve, finite
from service.summaries.scoring import score
from service.summaries.summary import summarize
from service.summaries.table import TrialTable
from workers.metrics import METRICS

__all__ = [
    "draw_expected_max",
    "draw_learning_curves",
    "draw_lr_curves",
    "expected_max",
    "learning_curves",
    "lr_curves",
]

Budget = Literal["configurations", "gradient_evaluations"]
Progress = Literal["epoch", "gradient_evaluations"]

_WIDTH, _HEIGHT = 300, 220


def lr_curves(table: TrialTable) -> FigureData:
    """Accuracy at the validation-best weight decay of each learning rate.

    Returns:
        A record a learning rate and optimizer (``optimizer``, ``title``): ``value``, and ``low``
        and ``high`` of its seed interval (null with one seed); ``value`` is null where nothing has
        finished.

    Raises:
        NeedsGridError: Not a grid.
        NotAvailableError: One learning rate only.
    """
    instead = ("expected-max", "curvature-scatter")
    if table.search != "grid":
        raise NeedsGridError("A curve along the learning rate", table.search, instead)
    if len(table.learning_rates) < 2:
        raise NotAvailableError(
            "needs_two_learning_rates", "The grid has one learning rate: no curve.", instead
        )
    records: list[Record] = []
    for scores in score(table):
        val, evaluation = scores.grid(scores.val), scores.grid(scores.evaluation)
        if val is None or evaluation is None:
            continue
        curve = statistics.lr_curve(val, evaluation)
        resamples = None
        if scores.val_resamples is not None and scores.evaluation_resamples is not None:
            grids = scores.grid(scores.val_resamples), scores.grid(scores.evaluation_resamples)
            if grids[0] is not None and grids[1] is not None:
                resamples = statistics.lr_curve(grids[0], grids[1])
        counts = scores.trials.finished.sum(axis=1).reshape(val.shape)
        n_seeds = np.where(counts > 0, counts, counts.max()).min(axis=1).tolist()
        for at, (rate, value) in enumerate(zip(table.learning_rates, curve.tolist(), strict=True)):
            bounds = (
                None
                if resamples is None
                else percentile_interval(
                    value, resamples[:, at], n_seeds[at], (table.chance_accuracy, 1.0)
                )
            )
            records.append(
                {
                    "optimizer": scores.trials.label,
                    "title": scores.trials.title,
                    "learning_rate": rate,
                    "value": finite(value),
                    "low": bounds.low if bounds else None,
                    "high": bounds.high if bounds else None,
                }
            )
    banded = any(record["low"] is not None for record in records)
    metric = METRICS["ood_accuracy" if table.has_ood else "val_accuracy"].title
    adaptive = [
        trials.title
        for trials in table.by_optimizer
        if learning_rate_role(trials.name) == "initial_step_size"
    ]
    return FigureData(
        name="lr-curves",
        title=f"{metric} by learning rate{of_workload(table)}",
        notes=[
            "at the validation-best weight decay; "
            + ("bands: 95 % seed intervals" if banded else "one seed: no intervals"),
            *([f"{', '.join(adaptive)}: the initial step size only"] if adaptive else []),
        ],
        records=records,
        scales={"chance": table.chance_accuracy},
    )


def draw_lr_curves(figure: FigureData, theme: Theme) -> Any:
    """Lines over a log axis, with seed bands and the line of chance."""
    optimizers = [str(label) for label in figure.values("title")]
    x = alt.X(
        "learning_rate:Q",
        title="learning rate",
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(values=figure.values("learning_rate"), format=".0e"),  # type: ignore[arg-type]
    )
    known = alt.Chart(RECORDS).transform_filter("isValid(datum.value)")
    colour = optimizer_colour(optimizers)
    bands = known.transform_filter("isValid(datum.low)").mark_area(opacity=0.18)
    return (
        alt.layer(
            bands.encode(x=x, y=_accuracy("low"), y2="high:Q", color=colour),
            known.mark_line(point={"size": 36}, strokeWidth=2).encode(
                x=x, y=_accuracy("value"), color=colour
            ),
            _chance(figure, theme),
        )
        .properties(width=_WIDTH, height=_HEIGHT)
        .properties(title=titled(figure.title, figure.notes))
    )


def expected_max(table: TrialTable, budget: Budget = "configurations") -> FigureData:
    """Expected best validation accuracy, and the OOD accuracy it selects, by tuning budget.

    Args:
        table: The trials.
        budget: Count configurations tried, or the gradient evaluations they cost.

    Returns:
        A record a point: ``panel``, ``optimizer``, ``title``, ``configurations``, ``budget``,
        ``value``.

    Raises:
        NotAvailableError: No gradient evaluations were recorded.
    """
    _one_of("budget", budget, ("configurations", "gradient_evaluations"))
    summary = summarize(table)
    records: list[Record] = []
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
            "Expected best validation accuracy": optimizer.expected_max_val_accuracy,
            "OOD accuracy selected by it": optimizer.expected_selected_ood_accuracy,
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
    method = summary.optimizers[0].expected_max_val_accuracy.method.replace("_", " ")
    return FigureData(
        name="expected-max",
        title=f"What a tuning budget buys{of_workload(table)}",
        notes=[f"the best by validation of n random configurations, {method}"],
        records=records,
        scales={
            "chance": table.chance_accuracy,
            "x_title": budget.replace("_", " ")
            + ("" if budget == "configurations" else " (all trials)"),
        },
    )


def draw_expected_max(figure: FigureData, theme: Theme) -> Any:
    """Validation, and beside it what that selects out of distribution."""
    optimizers = [str(label) for label in figure.values("title")]
    panels = [
        alt.Chart(RECORDS)
        .transform_filter(alt.datum.panel == panel)
        .mark_line(strokeWidth=2, point={"size": 18})
        .encode(
            x=alt.X("budget:Q", title=str(figure.scales["x_title"]), axis=alt.Axis(tickMinStep=1)),
            y=_accuracy("value"),
            color=optimizer_colour(optimizers),
        )
        .properties(title=_panel_title(str(panel)), width=_WIDTH, height=_HEIGHT)
        for panel in figure.values("panel")
    ]
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))


def learning_curves(table: TrialTable, x: Progress = "epoch") -> FigureData:
    """Validation accuracy and training loss at the selected configuration, a line a seed.

    Args:
        table: The trials, with histories.
        x: What the curves run along.

    Returns:
        A record an epoch and trial: ``optimizer``, ``title``, ``seed``, ``learning_rate``,
        ``weight_decay``, ``epoch``, ``gradient_evaluations``, ``val_accuracy``, ``train_loss``. A
        line that ends early belongs to a trial that diverged or is still running.

    Raises:
        NotAvailableError: No trial of a selected configuration has a history.
    """
    _one_of("x", x, ("epoch", "gradient_evaluations"))
    records: list[Record] = []
    for scores in score(table, resample=False):
        for row in scores.trials.rows[scores.selected]:
            if row is None or row.history is None:
                continue
            history = row.history
            losses = history.train_loss or [None] * len(history.epoch)
            for epoch, spent, accuracy, loss in zip(
                history.epoch,
                history.gradient_evaluations,
                history.val_accuracy,
                losses,
                strict=True,
            ):
                records.append(
                    {
                        "optimizer": row.optimizer,
                        "title": scores.trials.title,
                        "seed": row.seed,
                        "learning_rate": row.learning_rate,
                        "weight_decay": row.weight_decay,
                        "epoch": int(epoch),
                        "gradient_evaluations": float(spent),
                        "val_accuracy": finite(accuracy),
                        "train_loss": finite(loss),
                    }
                )
    if not records:
        raise NotAvailableError(
            "needs_history", "No trial of a selected configuration has a history."
        )
    return FigureData(
        name="learning-curves",
        title=f"Learning curves of the selected configurations{of_workload(table)}",
        notes=["a line a seed"],
        records=records,
        scales={"chance": table.chance_accuracy, "x": x},
    )


def draw_learning_curves(figure: FigureData, theme: Theme) -> Any:
    """Validation accuracy beside training loss."""
    optimizers = [str(label) for label in figure.values("title")]
    field = str(figure.scales["x"])
    x = alt.X(f"{field}:Q", title=METRICS[field].title.lower(), axis=alt.Axis(tickMinStep=1))
    panels = []
    for metric, y in (
        ("val_accuracy", _accuracy("val_accuracy")),
        ("train_loss", alt.Y("train_loss:Q", title=None, scale=alt.Scale(zero=False))),
    ):
        if all(record[metric] is None for record in figure.records):
            continue
        lines = (
            alt.Chart(RECORDS)
            .transform_filter(f"isValid(datum.{metric})")
            .mark_line(strokeWidth=1.6, opacity=0.85)
            .encode(x=x, y=y, color=optimizer_colour(optimizers), detail="seed:N")
        )
        layered = lines if metric == "train_loss" else alt.layer(lines, _chance(figure, theme))
        panels.append(
            layered.properties(
                title=_panel_title(METRICS[metric].title), width=_WIDTH, height=_HEIGHT
            )
        )
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))


def _accuracy(field: str) -> alt.Y:
    """An axis of accuracy."""
    return alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format="~%"))


def _chance(figure: FigureData, theme: Theme) -> Any:
    """The dashed line of guessing."""
    line = alt.Chart(RECORDS).mark_rule(strokeDash=[4, 3], color=theme.faint)
    return line.encode(y=alt.YDatum(figure.scale("chance")))


def _panel_title(text: str) -> alt.TitleParams:
    """The title of one of several panels."""
    return alt.TitleParams(text, fontSize=12, anchor="middle", offset=8)


def _one_of(option: str, got: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value an option does not have."""
    if got not in allowed:
        raise InvalidOptionError(f"invalid_{option}", f"{option} cannot be {got!r}.", allowed)
