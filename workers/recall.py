"""A journal from what MLflow has of a sweep: it outlives the storage of its drivers.

The journal is lost with its disk, and a backup holds none. What MLflow has recorded must neither
run again nor be recorded again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from mlflow.entities import Metric, Run

from workers.journal import Journal
from workers.metrics import RESULTS
from workers.spec import SweepSpec, TpeSearch

__all__ = ["recall"]

History = Callable[[str, str], list[Metric]]


def recall(
    journal: Journal, specification: SweepSpec, runs: Mapping[str, Run], history: History
) -> None:
    """Write to a journal without a start what the runs of its sweep say.

    Trials that have ended are not left to run; of the others the recorded epochs count as recorded,
    for they run anew. Doing it twice changes nothing, and the journal has no start after it either:
    that is noted when all of it counts as delivered.

    Args:
        journal: Where to.
        specification: Of the sweep.
        runs: Of its trials, by key.
        history: All values of a metric of a run, by the run's id and the metric's name.
    """
    for run in sorted(runs.values(), key=_position):
        _recall_suggestion(journal, specification, run)
    epochs = [
        record for key, run in runs.items() for record in _epochs(key, run, specification, history)
    ]
    for _, key, number, metrics in sorted(epochs, key=lambda record: record[0]):
        journal.append("epoch", key, epoch=number, metrics=metrics)
    for key, run in runs.items():
        outcome, epoch = run.data.tags.get("sasam.outcome"), run.data.metrics.get("epoch", 0)
        if run.info.status != "RUNNING" and outcome in RESULTS:
            journal.append("trial_ended", key, outcome=outcome, epoch=int(epoch))


def _recall_suggestion(journal: Journal, specification: SweepSpec, run: Run) -> None:
    """Write the suggestion that a trial is of, once, where the search made any."""
    params, label = run.data.params, run.data.tags["sasam.optimizer"]
    if not isinstance(specification.search, TpeSearch) or "weight_decay" not in params:
        return
    optimizers = len(specification.optimizers)
    number = _position(run) % (specification.search.trials * optimizers) // optimizers
    if number == sum(known.label == label for known in journal.suggestions):
        journal.append(
            "suggestion",
            label=label,
            number=number,
            learning_rate=float(params["learning_rate"]),
            weight_decay=float(params["weight_decay"]),
        )


def _epochs(
    key: str, run: Run, specification: SweepSpec, history: History
) -> Iterator[tuple[float, str, int, dict[str, float]]]:
    """Time, trial, epoch, metrics: the last epoch, and those that early stopping decided on."""
    metrics: dict[str, float] = dict(run.data.metrics)
    last = int(metrics.pop("epoch", 0))
    if specification.early_stopping is not None:
        decisive = specification.early_stopping.metric
        for value in history(run.info.run_id, decisive):
            if value.step < last:
                yield value.timestamp, key, value.step, {decisive: value.value}
    if last:
        yield run.info.end_time or math.inf, key, last, metrics


def _position(run: Run) -> int:
    return int(run.data.tags["sasam.position"])
