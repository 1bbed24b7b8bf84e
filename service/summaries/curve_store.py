"""Learning curves and accuracies by severity of trials: fetched from MLflow once, then stored.

The trials table holds the latest metrics only. The first request that needs curves fetches those of
its ended trials from MLflow and stores them with the trials.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import Any

from service.external.mlflow_gateway import MlflowGateway
from service.sensitivity import History
from service.storage import Database, SweepRow, TrialRow
from service.trials.repository import TrialRepository
from workers.mlflow_schema import Artifact

__all__ = ["CurveStore"]

_CURVES = ("gradient_evaluations", "val_accuracy", "train_loss", "val_loss")
_CONCURRENT_REQUESTS = 8
_BATCH = 200
"""Trials between two transactions."""


class CurveStore:
    """Reads curves from the database, and from MLflow those that are not stored yet.

    Args:
        database: Where they are stored.
        results: MLflow.
    """

    def __init__(self, database: Database, results: MlflowGateway) -> None:
        self._database = database
        self._results = results

    def histories(self, sweep: SweepRow, keys: Iterable[str]) -> dict[str, History]:
        """Learning curves of the ended trials among ``keys``, by key.

        Raises:
            MlflowUnavailableError: MLflow does not answer; the curves fetched so far are stored.
        """
        found = self._load(sweep, keys, "history", self._fetch_histories)
        return {key: History(**curves) for key, curves in found.items()}

    def severities(
        self, sweep: SweepRow, keys: Iterable[str]
    ) -> dict[str, dict[str, dict[int, float]]]:
        """Accuracies by corruption and severity of the ended trials among ``keys``, by key.

        A trial without OOD evaluation is left out.

        Raises:
            MlflowUnavailableError: MLflow does not answer; those fetched so far are stored.
        """
        severities = (sweep.specification.get("ood") or {}).get("severities", ())
        found = self._load(
            sweep,
            keys,
            "ood_by_severity",
            lambda pool, trials: pool.map(
                lambda trial: self._fetch_matrix(trial, severities), trials
            ),
        )
        return {
            key: {
                corruption: {int(severity): accuracy for severity, accuracy in levels.items()}
                for corruption, levels in matrix.items()
            }
            for key, matrix in found.items()
        }

    def _load(
        self,
        sweep: SweepRow,
        keys: Iterable[str],
        part: str,
        fetch: Callable[[Executor, Sequence[TrialRow]], Iterable[Any]],
    ) -> dict[str, Any]:
        """One part of the stored details by trial key, fetched first where not stored."""
        chosen = set(keys)
        with self._database.snapshot() as session:
            repository = TrialRepository(session)
            trials = [
                trial
                for trial in repository.of_sweep(sweep.sweep_id)
                if trial.key in chosen and trial.outcome and trial.mlflow_run_id
            ]
            stored = repository.details(sweep.sweep_id)
        found = {
            trial.key: stored[trial.key][part]
            for trial in trials
            if part in stored.get(trial.key, {})
        }
        missing = [trial for trial in trials if trial.key not in found]
        with ThreadPoolExecutor(_CONCURRENT_REQUESTS, "curves") as pool:
            for batch in _batches(missing):
                keys_of_batch = [trial.key for trial in batch]
                fetched = dict(zip(keys_of_batch, fetch(pool, batch), strict=True))
                found |= fetched
                with self._database.transaction() as session:
                    for key, value in fetched.items():
                        details = stored.get(key, {}) | {part: value}
                        TrialRepository(session).record(sweep.sweep_id, key, {"details": details})
        return {key: value for key, value in found.items() if value is not None}

    def _fetch_histories(
        self, pool: Executor, trials: Sequence[TrialRow]
    ) -> Iterator[dict[str, list[float | None]]]:
        """The learning curves of trials; one is empty if its trial diverged in its first epoch."""
        run_ids = [str(trial.mlflow_run_id) for trial in trials]
        of_runs = pool.map(lambda name: self._results.histories(run_ids, name), _CURVES)
        by_name = dict(zip(_CURVES, of_runs, strict=True))
        for run_id in run_ids:
            curves = {name: dict(runs[run_id]) for name, runs in by_name.items()}
            epochs = sorted(curves["gradient_evaluations"])
            yield {
                "epoch": [*epochs],
                **{name: [curve.get(epoch) for epoch in epochs] for name, curve in curves.items()},
            }

    def _fetch_matrix(
        self, trial: TrialRow, severities: Iterable[int]
    ) -> dict[str, dict[str, float]] | None:
        """Accuracies of a trial by corruption and severity; None without OOD evaluation."""
        if "ood_accuracy" not in trial.metrics:
            return None
        text = self._results.artifact_text(str(trial.mlflow_run_id), Artifact.OOD_MATRIX)
        if text is None:
            return None
        matrix: Mapping[str, list[float]] = json.loads(text)
        return {
            corruption: dict(zip(map(str, severities), accuracies, strict=False))
            for corruption, accuracies in matrix.items()
        }


def _batches(trials: Iterable[TrialRow]) -> Iterator[tuple[TrialRow, ...]]:
    """Trials in batches."""
    trials = iter(trials)
    while batch := tuple(islice(trials, _BATCH)):
        yield batch
