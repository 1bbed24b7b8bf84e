"""What few questions need: learning curves and accuracies by severity, read from MLflow once.

The trials table holds the latest metrics. The first question that needs more fetches it for the
ended trials it is about, and stores it beside them; every other question costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal

from service.execution.mlflow_gateway import MlflowGateway
from service.storage import Database, SweepRow
from service.storage import TrialRow as StoredTrial
from service.summaries.table import History
from service.trials.repository import TrialRepository
from workers.mlflow_schema import Artifact

__all__ = ["Part", "TrialDetails"]

Part = Literal["history", "ood_by_severity"]

_CURVES = ("gradient_evaluations", "val_accuracy", "train_loss")
_REQUESTS_AT_A_TIME = 8
_BATCH = 128


class TrialDetails:
    """Reads a part of the details of trials: stored ones first, the others from MLflow.

    Args:
        database: Where they are stored.
        results: MLflow.
    """

    def __init__(self, database: Database, results: MlflowGateway) -> None:
        self._database = database
        self._results = results

    def load(self, sweep: SweepRow, keys: Iterable[str], part: Part) -> dict[str, Any]:
        """A part of the details of the ended trials among ``keys``.

        Returns:
            By key a :class:`History`, or accuracies by corruption and severity; a trial that has
            none is left out.

        Raises:
            MlflowUnavailableError: MLflow does not answer; what had come is stored.
        """
        wanted = set(keys)
        with self._database.snapshot() as session:
            trials = TrialRepository(session)
            rows = [
                row
                for row in trials.of_sweep(sweep.sweep_id)
                if row.key in wanted and row.outcome and row.mlflow_run_id
            ]
            stored = trials.details(sweep.sweep_id)
        found = {row.key: stored[row.key][part] for row in rows if part in stored.get(row.key, {})}
        missing = [row for row in rows if row.key not in found]
        for fetched in self._fetch(sweep, missing, part):
            found |= fetched
            with self._database.transaction() as session:
                for key, value in fetched.items():
                    details = stored.get(key, {}) | {part: value}
                    TrialRepository(session).record(sweep.sweep_id, key, {"details": details})
        return {key: _read(value, part) for key, value in found.items() if value is not None}

    def _fetch(
        self, sweep: SweepRow, trials: Iterable[StoredTrial], part: Part
    ) -> Iterator[dict[str, Any]]:
        """What MLflow has, some trials at a time."""
        severities = (sweep.specification.get("ood") or {}).get("severities", ())

        def fetch(trial: StoredTrial) -> Any:
            run_id = str(trial.mlflow_run_id)
            if part == "history":
                return self._history(run_id)
            has_matrix = "ood_accuracy" in trial.metrics
            return self._by_severity(run_id, severities) if has_matrix else None

        with ThreadPoolExecutor(_REQUESTS_AT_A_TIME, "details") as pool:
            for some in _batches(trials):
                keys = [trial.key for trial in some]
                yield dict(zip(keys, pool.map(fetch, some), strict=True))

    def _history(self, run_id: str) -> dict[str, list[float | None]]:
        """The learning curve of a run; empty where it diverged in its first epoch."""
        curves = {name: dict(self._results.history(run_id, name)) for name in _CURVES}
        epochs = sorted(curves["gradient_evaluations"])
        return {
            "epoch": [*epochs],
            **{name: [curve.get(epoch) for epoch in epochs] for name, curve in curves.items()},
        }

    def _by_severity(
        self, run_id: str, severities: Iterable[int]
    ) -> dict[str, dict[str, float]] | None:
        """Accuracies of a run by corruption and severity."""
        text = self._results.artifact_text(run_id, Artifact.OOD_MATRIX)
        if text is None:
            return None
        matrix: Mapping[str, list[float]] = json.loads(text)
        return {
            corruption: dict(zip(map(str, severities), accuracies, strict=False))
            for corruption, accuracies in matrix.items()
        }


def _batches(trials: Iterable[StoredTrial]) -> Iterator[tuple[StoredTrial, ...]]:
    """Trials, some at a time."""
    trials = iter(trials)
    while some := tuple(islice(trials, _BATCH)):
        yield some


def _read(value: Any, part: Part) -> Any:
    """A stored part as statistics read it."""
    if part == "history":
        return History(**value)
    return {
        corruption: {int(severity): accuracy for severity, accuracy in levels.items()}
        for corruption, levels in value.items()
    }
