"""Sparklines of running trials: their validation score so far, in a row of a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.storage import TrialRow
from service.unavailable import full_message
from workers.scores import Score

__all__ = ["HEIGHT", "WIDTH", "Sparkline", "draw_sparklines", "load_sparklines"]

log = logging.getLogger(__name__)

WIDTH, HEIGHT = 160, 32  # as in templates/_running.html
_MARGIN = 2
_MAX_CONCURRENT_REQUESTS = 8

History = Sequence[tuple[int, float]]
"""(epoch, value), by epoch."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A polyline in a box of ``WIDTH`` x ``HEIGHT``.

    Attributes:
        points: Value of the attribute ``points`` of an SVG polyline.
        description: The same in words.
    """

    points: str
    description: str


def load_sparklines(
    mlflow: MlflowGateway, trials: Sequence[TrialRow], epochs: int, score: Score
) -> dict[str, Sparkline]:
    """Read histories from MLflow and draw them, by trial key; empty if MLflow does not answer."""
    run_ids = {trial.key: trial.mlflow_run_id for trial in trials if trial.mlflow_run_id}
    with ThreadPoolExecutor(_MAX_CONCURRENT_REQUESTS, "sparklines") as pool:
        try:
            histories = list(
                pool.map(lambda run_id: mlflow.history(run_id, score.val_metric), run_ids.values())
            )
        except MlflowUnavailableError as error:
            log.warning("no sparklines of running trials: %s", full_message(error))
            pool.shutdown(cancel_futures=True)
            return {}
    return draw_sparklines(dict(zip(run_ids, histories, strict=True)), epochs, score)


def draw_sparklines(
    histories: dict[str, History], epochs: int, score: Score
) -> dict[str, Sparkline]:
    """Draw histories on common axes: all epochs to the right, values up.

    Args:
        histories: By trial key; those without values are left out.
        epochs: Epochs of a whole trial.
        score: What is drawn.
    """
    values = [value for history in histories.values() for _, value in history]
    if not values:
        return {}
    low, high = min(values), max(values)
    width, height = WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN

    def point(epoch: int, value: float) -> str:
        right = (epoch - 1) / max(epochs - 1, 1)
        up = (value - low) / (high - low) if high > low else 0.5
        return f"{_MARGIN + width * right:.1f},{_MARGIN + height * (1 - up):.1f}"

    def line(history: History) -> str:
        points = [point(epoch, value) for epoch, value in history]
        return " ".join(points if len(points) > 1 else points * 2)  # one point alone draws nothing

    return {
        key: Sparkline(line(history), _description(history, score))
        for key, history in histories.items()
        if history
    }


def _description(history: History, score: Score) -> str:
    first, last = score.text(history[0][1]), score.text(history[-1][1])
    unit = "percent" if score.unit == "%" else score.unit
    return f"validation {score.name} from {first} to {last} {unit} in epoch {history[-1][0]}"
