"""The score and the training loss along the epochs, at the selected configurations."""

import math
from typing import Any, Literal, get_args

import altair as alt

from service.sensitivity.errors import NotAvailableError
from service.sensitivity.figures.axes import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    chance_line,
    panel_title,
    score_axis,
)
from service.sensitivity.figures.figure_data import (
    Datum,
    FigureData,
    of_workload,
    rate_and_decay,
    require_option,
    score_of,
    score_scales,
)
from service.sensitivity.figures.theme import RECORDS, Theme, optimizer_colour, titled
from service.sensitivity.scores import score
from service.sensitivity.strict_schema import finite
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS

__all__ = ["PROGRESS", "draw_learning_curves", "learning_curves"]

Progress = Literal["epoch", "gradient_evaluations"]
PROGRESS: tuple[str, ...] = get_args(Progress)
Start = Literal["data", "chance"]


def learning_curves(table: TrialTable, x: Progress = "epoch", y: Start = "data") -> FigureData:
    """Validation score and training loss at the selected configuration, one line per seed.

    Args:
        table: The trials, with histories.
        x: The horizontal axis.
        y: Where the axis of the score starts: at the worst score, or at that of a guess.

    Returns:
        One record per epoch and trial: ``optimizer``, ``title``, ``seed``, ``learning_rate`` and
        ``weight_decay`` (null where not varied), ``epoch``, ``gradient_evaluations``,
        ``val_accuracy`` (``val_loss`` if that is the score), ``train_loss``. A line that ends early
        belongs to a trial that diverged or is still running.

    Raises:
        NotAvailableError: No trial of a selected configuration has a history.
    """
    require_option("x", x, PROGRESS)
    require_option("y", y, get_args(Start))
    records: list[Datum] = []
    metric = table.score.val_metric
    for scores in score(table, resample=False):
        configuration = scores.trials.configuration(scores.selected)
        for trial in scores.trials.results[scores.selected]:
            if trial is None or trial.history is None:
                continue
            history = trial.history
            unknown = [None] * len(history.epoch)
            for epoch, spent, value, loss in zip(
                history.epoch,
                history.gradient_evaluations,
                history.validation(table.score) or unknown,
                history.train_loss or unknown,
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
                        metric: finite(value),
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
        scales=score_scales(table) | {"x": x, "y": y},
    )


def draw_learning_curves(figure: FigureData, theme: Theme) -> Any:
    """Draw the validation score beside the training loss."""
    optimizers = [str(label) for label in figure.values("title")]
    field = str(figure.scales["x"])
    x = alt.X(f"{field}:Q", title=METRICS[field].title.lower(), axis=alt.Axis(tickMinStep=1))
    panels = []
    val_metric = score_of(figure).val_metric
    for metric, y in (
        (val_metric, score_axis(figure, val_metric)),
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
        has_line = metric != "train_loss" and _shows_chance(figure, metric)
        layered = alt.layer(lines, chance_line(figure, theme)) if has_line else lines
        panels.append(
            layered.properties(
                title=panel_title(METRICS[metric].title), width=PANEL_WIDTH, height=PANEL_HEIGHT
            )
        )
    return alt.hconcat(*panels).properties(title=titled(figure.title, figure.notes))


def _shows_chance(figure: FigureData, metric: str) -> bool:
    """Whether to draw the score of a guess: on request, or if its line does not widen the axis."""
    guess = figure.scale("chance")
    if figure.scales["y"] == "chance":
        return math.isfinite(guess)
    known = [float(value) for record in figure.records if (value := record[metric]) is not None]
    return min(known) <= guess <= max(known)
