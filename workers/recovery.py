"""Recovery of a lost journal from the sweep's runs in MLflow.

A journal is lost with its disk, and backups do not contain it. Results in MLflow must neither be
computed nor recorded again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import count

from mlflow.entities import Metric, Run

from workers.journal import Journal
from workers.metrics import RESULTS
from workers.mlflow_schema import EPOCH, RUNNING, Tag, decode_hyperparameters
from workers.spec import SweepSpec, TpeSearch

__all__ = ["recover_journal"]

History = Callable[[str, str], list[Metric]]


def recover_journal(
    journal: Journal, specification: SweepSpec, runs: Mapping[str, Run], history: History
) -> None:
    """Fill a journal that has no start from the runs of its sweep.

    Ended trials do not run again. Epochs of other trials in MLflow count as recorded, although
    these trials resume from a checkpoint or start again. Calling it twice changes nothing. The
    journal still has no start afterwards: the caller appends it once all of it counts as delivered.

    Args:
        journal: The journal to fill.
        specification: Specification of the sweep.
        runs: Runs of its trials, by trial key.
        history: All values of a metric of a run, by the run's id and the metric's name.
    """
    for run in sorted(runs.values(), key=_position):
        _recover_suggestion(journal, specification, run)
    epochs = [
        record for key, run in runs.items() for record in _epochs(key, run, specification, history)
    ]
    for _, key, number, metrics in sorted(epochs, key=lambda record: record[0]):
        journal.append("epoch", key, epoch=number, metrics=metrics)
    for key, run in runs.items():
        outcome, epoch = run.data.tags.get(Tag.OUTCOME), run.data.metrics.get(EPOCH, 0)
        if run.info.status != RUNNING and outcome in RESULTS:
            journal.append("trial_ended", key, outcome=outcome, epoch=int(epoch))


def _recover_suggestion(journal: Journal, specification: SweepSpec, run: Run) -> None:
    """Append the suggestion of a trial once, if the search makes suggestions.

    Numbers may be missing: trials start at the same time, so that a later one can be in MLflow
    while an earlier one is not. The search fills them with new suggestions.
    """
    label, configuration = run.data.tags[Tag.OPTIMIZER], decode_hyperparameters(run)
    if not isinstance(specification.search, TpeSearch) or configuration is None:
        return
    known = {made.number: made.configuration for made in journal.suggestions if made.label == label}
    if configuration in known.values():
        return
    of, number = specification.configuration_at(_position(run))
    if of != label or number in known:  # an extension of the sweep has moved the positions
        number = next(free for free in count() if free not in known)
    journal.append(
        "suggestion",
        label=label,
        number=number,
        configuration=configuration.plain(),
    )


def _epochs(
    key: str, run: Run, specification: SweepSpec, history: History
) -> Iterator[tuple[float, str, int, dict[str, float]]]:
    """Time, trial, epoch and metrics of the last epoch, and of those for early stopping."""
    metrics: dict[str, float] = dict(run.data.metrics)
    last = int(metrics.pop(EPOCH, 0))
    if specification.early_stopping is not None:
        decisive = specification.early_stopping.metric
        for value in history(run.info.run_id, decisive):
            if value.step < last:
                yield value.timestamp, key, value.step, {decisive: value.value}
    if last:
        yield run.info.end_time or math.inf, key, last, metrics


def _position(run: Run) -> int:
    return int(run.data.tags[Tag.POSITION])
