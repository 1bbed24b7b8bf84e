"""Accuracy and loss along the epochs, at the selected configurations."""

from typing import Any, Literal, get_args

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    accuracy_axis,
    chance_line,
    panel_title,
)
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    rate_and_decay,
    require_option,
)
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.schemas import finite
from service.sensitivity.scores import score
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS

__all__ = ["PROGRESS", "draw_learning_curves", "learning_curves"]

Progress = Literal["epoch", "gradient_evaluations"]
PROGRESS: tuple[str, ...] = get_args(Progress)


def learning_curves(table: TrialTable, x: Progress = "epoch") -> FigureData:
    """Validation accuracy and training loss at the selected configuration, one line per seed.

    Args:
        table: The trials, with histories.
        x: The horizontal axis.

    Returns:
        One record per epoch and trial: ``optimizer``, ``title``, ``seed``, ``learning_rate`` and
        ``weight_decay`` (null where not varied), ``epoch``, ``gradient_evaluations``,
        ``val_accuracy``, ``train_loss``. A line that ends early belongs to a trial that diverged or
        is still running.

    Raises:
        NotAvailableError: No trial of a selected configuration has a history.
    """
    require_option("x", x, PROGRESS)
    records: list[Datum] = []
    for scores in score(table, resample=False):
        configuration = scores.trials.configuration(scores.selected)
        for trial in scores.trials.results[scores.selected]:
            if trial is None or trial.history is None:
                continue
            history = trial.history
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
                        "optimizer": trial.optimizer,
                        "title": scores.trials.title,
                        "seed": trial.seed,
                        **rate_and_decay(configuration),
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
        notes=["one line per seed"],
        records=records,
        scales={"chance": table.chance_accuracy, "x": x},
    )


def draw_learning_curves(figure: FigureData, theme: Theme) -> Any:
    """Draw validation accuracy beside training loss."""
    optimizers = [str(label) for label in figure.values("title")]
    field = str(figure.scales["x"])
    x = alt.X(f"{field}:Q", title=METRICS[field].title.lower(), axis=alt.Axis(tickMinStep=1))
    panels = []
    for metric, y in (
        ("val_accuracy", accuracy_axis("val_accuracy")),
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
        layered = lines if metric == "train_loss" else alt.layer(lines, chance_line(figure, theme))
        panels.append(
            layered.properties(
                title=panel_title(METRICS[metric].title), width=PANEL_WIDTH, height=PANEL_HEIGHT
            )
        )
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))
