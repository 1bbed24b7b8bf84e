"""The curves of trials that run now, small enough for a row of a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.external.mlflow_gateway import MlflowGateway, MlflowUnavailableError
from service.sensitivity.number_format import accuracy_label
from service.storage import TrialRow
from service.unavailable import full_message

__all__ = ["HEIGHT", "WIDTH", "Curve", "draw_curves", "running_curves"]

log = logging.getLogger(__name__)

WIDTH, HEIGHT = 160, 32
_MARGIN = 2
_REQUESTS_AT_A_TIME = 8

History = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """A polyline in a box of ``WIDTH`` x ``HEIGHT``.

    Attributes:
        points: As SVG has them.
        words: What it shows.
    """

    points: str
    words: str


def running_curves(
    mlflow: MlflowGateway, trials: Sequence[TrialRow], epochs: int
) -> dict[str, Curve]:
    """The validation accuracy of trials so far, by key; none while MLflow does not answer."""
    known = {trial.key: trial.mlflow_run_id for trial in trials if trial.mlflow_run_id}
    with ThreadPoolExecutor(_REQUESTS_AT_A_TIME, "curves") as pool:
        try:
            found = list(pool.map(lambda run: mlflow.history(run, "val_accuracy"), known.values()))
        except MlflowUnavailableError as error:
            log.warning("no curves of running trials: %s", full_message(error))
            pool.shutdown(cancel_futures=True)
            return {}
    return draw_curves(dict(zip(known, found, strict=True)), epochs)


def draw_curves(histories: dict[str, History], epochs: int) -> dict[str, Curve]:
    """(epoch, value) as polylines on common axes: all epochs to the right, values up."""
    values = [value for history in histories.values() for _, value in history]
    if not values:
        return {}
    low, high = min(values), max(values)
    width, height = WIDTH - 2 * _MARGIN, HEIGHT - 2 * _MARGIN

    def place(epoch: int, value: float) -> str:
        right = (epoch - 1) / max(epochs - 1, 1)
        up = (value - low) / (high - low) if high > low else 0.5
        return f"{_MARGIN + width * right:.1f},{_MARGIN + height * (1 - up):.1f}"

    def line(history: History) -> str:
        points = [place(*point) for point in history]
        return " ".join(points if len(points) > 1 else points * 2)  # a dot

    return {
        key: Curve(line(history), _words(history)) for key, history in histories.items() if history
    }


def _words(history: History) -> str:
    first, last = accuracy_label(history[0][1]), accuracy_label(history[-1][1])
    return f"validation accuracy from {first} to {last} percent in epoch {history[-1][0]}"
