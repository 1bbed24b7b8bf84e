"""Reuse of trials that another sweep has run, from its runs in MLflow.

    trial of this sweep that has not started
      = ended run of another sweep with the same key and the same numerics
      -> one entry of the journal, with all its epochs -> delivery, as for any other trial

The key stands for the whole configuration, with what is measured; the numerics stand for code,
libraries, device and data (`workers.numerics`). Only results count: trials that completed or
diverged. A copy is no source, so that every reused trial names the run that computed it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from workers.job import DriverJob
from workers.journal import Journal
from workers.metrics import Outcome
from workers.mlflow_runs import is_refusal
from workers.mlflow_schema import EPOCH, Artifact, Origin, RunKind, Tag, is_finite, run_filter
from workers.spec import SweepSpec
from workers.spec.code import code_names

__all__ = ["reusable_trials", "reuse_trials"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_RESULTS = frozenset({Outcome.COMPLETED, Outcome.DIVERGED})
_EXPERIMENTS_PER_SEARCH = 100
_ITEMS_PER_PAGE = 1_000
_READ_AT_ONCE = 8
_PAUSE_SECONDS = 15.0
"""Pause between attempts to reach MLflow."""
_MEASURED_AT_END = ("ood_", "test_")
"""Beginnings of metrics that a trial measures once, after its last epoch."""


def reusable_trials(specification: SweepSpec, journal: Journal) -> frozenset[str]:
    """Keys of the trials for which a result of another sweep can stand in.

    These have not started, or failed before their first epoch. No trial can that runs code of an
    installed module of the user, because its key has the name of the code, not the code.

    Args:
        specification: Specification of the sweep.
        journal: Journal of the sweep so far.
    """
    with_modules = {
        label
        for label, optimizer in specification.by_label.items()
        if any(name.module for name in code_names(specification, optimizer).values())
    }
    return frozenset(
        trial.key
        for trial in specification.trials
        if trial.optimizer_label not in with_modules
        and trial.key not in journal.epochs
        and journal.outcomes.get(trial.key) in (None, Outcome.FAILED)
    )


def reuse_trials(job: DriverJob, journal: Journal, wanted: frozenset[str], numerics: str) -> int:
    """Append results of other sweeps to the journal; waits for MLflow.

    Each trial is one entry, so calling it again after a crash appends the missing ones. A run that
    is deleted meanwhile is left out: its trial will be trained.

    Args:
        job: Job of the driver.
        journal: Journal of the sweep.
        wanted: Keys of the trials to look for.
        numerics: Numerics of the trials of this sweep.

    Returns:
        Number of reused trials.
    """
    client = MlflowClient(job.mlflow_tracking_uri)
    runs = _patiently(partial(_find, client, job.sweep_id, wanted, numerics)) or {}
    reused = 0
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        results = pool.map(lambda run: _patiently(partial(_read, client, run)), runs.values())
        for (key, run), result in zip(runs.items(), results, strict=True):
            if result is not None:
                origin = Origin.of(run)
                journal.append("trial_reused", key, attempt=job.attempt, origin=origin, **result)
                reused += 1
    return reused


def _patiently(read: Callable[[], T | None]) -> T | None:
    """What a function reads from MLflow, once it answers; None if that cannot be read."""
    while True:
        try:
            return read()
        except OSError as error:  # from the artifact store
            reason: Exception = error
        except MlflowException as error:
            if not is_refusal(error):
                log.warning("MLflow does not answer, no results can be reused yet: %s", error)
                time.sleep(_PAUSE_SECONDS)
                continue
            reason = error
        log.warning("results of another sweep cannot be read, left out: %s", reason)
        return None


def _find(
    client: MlflowClient, sweep_id: str, wanted: frozenset[str], numerics: str
) -> dict[str, Run]:
    """The run to copy for each trial that has one, the oldest of several."""
    found: dict[str, Run] = {}
    for run in _ended_runs(client, numerics):
        key = run.data.tags.get(Tag.TRIAL, "")
        if key in wanted and _is_source(run, sweep_id):
            found[key] = min(run, found.get(key, run), key=_age)
    return found


def _is_source(run: Run, sweep_id: str) -> bool:
    """Whether another sweep than the given one computed a run's result."""
    tags = run.data.tags
    is_other = tags.get(Tag.SWEEP) != sweep_id and not tags.get(Tag.REUSED_FROM)
    return is_other and tags.get(Tag.OUTCOME) in _RESULTS


def _age(run: Run) -> tuple[int, str]:
    return run.info.end_time, run.info.run_id


def _ended_runs(client: MlflowClient, numerics: str) -> Iterator[Run]:
    """Ended runs of trials with these numerics, of all sweeps."""
    condition = (
        f"{run_filter(kind=RunKind.TRIAL)} and tags.`{Tag.NUMERICS}` = '{numerics}' "
        "and attributes.status = 'FINISHED'"
    )
    experiments = [each.experiment_id for each in _pages(client.search_experiments)]
    for at in range(0, len(experiments), _EXPERIMENTS_PER_SEARCH):
        some = experiments[at : at + _EXPERIMENTS_PER_SEARCH]
        yield from _pages(partial(client.search_runs, some, condition))


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    """The items of all pages of a search of MLflow."""
    token = None
    while True:
        page = search(max_results=_ITEMS_PER_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _read(client: MlflowClient, run: Run) -> dict[str, Any] | None:
    """The result of a run, as details of a journal's entry; None if it is incomplete by now."""
    metrics, tags = run.data.metrics, run.data.tags
    last = int(metrics.get(EPOCH, 0))
    times = {point.step: point.timestamp for point in _history(client, run, EPOCH)}
    epochs: dict[int, dict[str, float]] = {number: {} for number in range(1, last + 1)}
    for name in metrics.keys() - {EPOCH}:
        for epoch, value in _values(client, run, name, last):
            if epoch in epochs and is_finite(value):
                epochs[epoch][name] = value
    matrix = _ood_matrix(client, run)
    if times.keys() != epochs.keys() or not _is_complete(epochs, metrics) or _is_gone(client, run):
        log.warning("run %s of sweep %s is incomplete, left out", run.info.run_id, tags[Tag.SWEEP])
        return None
    return {
        "outcome": tags[Tag.OUTCOME],
        "epoch": last,
        "epochs": [[number, times[number], values] for number, values in epochs.items()],
        "numerics": tags[Tag.NUMERICS],
    } | ({} if matrix is None else {"ood_matrix": matrix})


def _values(client: MlflowClient, run: Run, name: str, last: int) -> Iterable[tuple[int, float]]:
    """(epoch, value) of a metric of a run."""
    if name.startswith(_MEASURED_AT_END):
        return [(last, run.data.metrics[name])]
    return [(point.step, point.value) for point in _history(client, run, name)]


def _history(client: MlflowClient, run: Run, name: str) -> list[Any]:
    return list(client.get_metric_history(run.info.run_id, name))


def _is_complete(epochs: Mapping[int, Mapping[str, float]], latest: Mapping[str, float]) -> bool:
    """Whether every metric of a run was read to its latest value; MLflow's gc can remove some."""
    read: dict[str, float] = {}
    for values in epochs.values():
        read |= values
    expected = {name: value for name, value in latest.items() if is_finite(value)}
    return read == {name: value for name, value in expected.items() if name != EPOCH}


def _is_gone(client: MlflowClient, run: Run) -> bool:
    """Whether a run was deleted or changed since it was found."""
    now = client.get_run(run.info.run_id)
    return now.info.lifecycle_stage != "active" or now.info.end_time != run.info.end_time


def _ood_matrix(client: MlflowClient, run: Run) -> Any:
    """Accuracy of a run by corruption and severity; None if it has none."""
    run_id, name = run.info.run_id, Artifact.OOD_MATRIX.value
    if all(artifact.path != name for artifact in client.list_artifacts(run_id)):
        return None
    with TemporaryDirectory() as folder:
        return json.loads(Path(client.download_artifacts(run_id, name, folder)).read_text())
