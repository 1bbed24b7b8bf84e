"""Entry point of a sweep's Ray job: runs what is left of the sweep with Ray Tune.

    source = trials of the specification - trials that have ended, by the journal
    Tune runs what is left on reused actors; its callback journals, the writer delivers to MLflow

Tune's own state is not needed again: a restarted driver goes by the journal, and an unfinished
trial by its own checkpoint. Where the journal is lost, the driver goes by MLflow.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import ray
from ray import tune

from workers.characters import escape_controls
from workers.code_version import git_commit
from workers.data_changes import DATA_FINGERPRINT, refuse_other_data
from workers.delivery import MlflowWriter
from workers.durable_storage import S3Path, writing
from workers.early_stopping import AshaScheduler, SuccessiveHalving
from workers.failures import Retries, is_defect
from workers.job import (
    EXIT_DEFECT,
    EXIT_INVALID,
    EXIT_TOO_MANY_FAILURES,
    JOB_VARIABLE,
    DriverJob,
)
from workers.journal import Journal
from workers.mlflow_schema import fact_tag, version_tag
from workers.moments import UtcFormatter
from workers.spec import ResourcesSpec, SpecError, SpecProblem, SweepSpec, TpeSearch
from workers.trainable import SweepTrial
from workers.training import preflight
from workers.trial_sources import SweepSearch, TrialSource, open_source
from workers.tune_callback import ConsecutiveFailures, JournalCallback, key_of

__all__ = ["main", "run"]

log = logging.getLogger("workers.driver")

_LONGEST_WORDS = 1_000

_ENVIRONMENT = {
    # The tracking client must not repeat a request by itself: a repeated "create" is a ghost run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Otherwise the end of every run costs a request, for a line on the terminal.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Tune writes no files of its own: results go to the journal, checkpoints are the trials'.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
    # Tune holds a searcher of one's own to one trial that waits for a place; this many let a
    # cluster grow, as many as Tune's own have.
    "TUNE_MAX_PENDING_TRIALS_PG": "200",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def main() -> int:
    """Run the job that the environment describes; returns the exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(UtcFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        return run(DriverJob.model_validate_json(os.environ[JOB_VARIABLE]))
    except SpecError as error:
        for problem in error.problems:
            print(f"sasam: {problem}", file=sys.stderr)  # noqa: T201 - the job's log
        return EXIT_INVALID
    except Exception as error:
        if not is_defect(error):
            raise
        log.exception("the driver cannot run this sweep")
        words = escape_controls(" ".join(f"{type(error).__name__}: {error}".split()))
        print(f"sasam: {words[:_LONGEST_WORDS]}", file=sys.stderr)  # noqa: T201 - the job's log
        return EXIT_DEFECT


def run(job: DriverJob) -> int:
    """Run what is left of a sweep.

    Raises:
        SpecError: The sweep cannot run here: its data are missing, its model does not fit them.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    home = Path(job.scratch_path) / "sweeps" / job.sweep_id
    _require_storage(job)
    facts = preflight(
        job.specification,
        data_dir=Path(job.data_dir),
        cache_dir=home / "data",
        largest_node_bytes=lambda: _largest_node_bytes(job.specification.resources),
    )
    journal = Journal(home / "journal.jsonl")
    writer = MlflowWriter(job, journal, _environment_tags())
    if job.attempt > 1 and not journal.is_started:
        writer.recover()
    refuse_other_data(journal, facts, accepted=job.accepts_changes)
    source = open_source(job.specification, journal, 1 / facts["classes"])
    total = job.specification.trial_count
    log.info("attempt %d: %d of %d trials left", job.attempt, source.left, total)
    writer.start()
    try:
        journal.append(
            "sweep_started", tags={fact_tag(name): str(fact) for name, fact in facts.items()}
        )
        given_up = False
        if source.left:
            # Others may have the cluster while the rest is delivered.
            with _cluster(), _progress_passes(journal):
                given_up = _tune(job, source, journal, home, facts[DATA_FINGERPRINT])
        journal.append("sweep_ended", status="FAILED" if given_up else "FINISHED")
    finally:
        writer.close()
        journal.close()
    return EXIT_TOO_MANY_FAILURES if given_up else 0


@contextmanager
def _progress_passes(journal: Journal) -> Iterator[None]:
    """Let a defect that comes after progress end the attempt only, not the sweep.

    Tune raises ``ValueError`` and ``KeyError`` also when a node is lost at a bad moment; a sweep
    that got on before will get on again.

    Raises:
        RuntimeError: A defect came after an epoch was recorded.
    """
    before = dict(journal.epochs)
    try:
        yield
    except Exception as error:
        if is_defect(error) and journal.epochs != before:
            raise RuntimeError(f"Tune failed: {type(error).__name__}: {error}") from error
        raise


def _require_storage(job: DriverJob) -> None:
    """End here where S3 cannot be written; of a folder the journal's tells.

    Raises:
        SystemExit: It cannot, and why.
    """
    try:
        if isinstance(job.trials_folder, S3Path):
            with writing(job.trials_folder.parent / "attempt") as file:
                file.write(str(job.attempt).encode())
    except OSError as error:
        raise SystemExit(f"sasam: {job.storage_path} cannot be written: {error}") from error


@contextmanager
def _cluster() -> Iterator[None]:
    """The Ray cluster, unless this process is in one already."""
    if ray.is_initialized():
        yield
        return
    ray.init(logging_level=logging.WARNING, log_to_driver=False)  # trials have logs
    try:
        yield
    finally:
        ray.shutdown()


def _tune(
    job: DriverJob, source: TrialSource, journal: Journal, home: Path, data_fingerprint: str
) -> bool:
    """Run the trials; returns whether too many failed in a row."""
    specification = job.specification
    limits = specification.limits
    resources = _resources(specification.resources)
    settings = {
        "data_dir": job.data_dir,
        "cache_dir": str(home / "data"),
        "data_fingerprint": data_fingerprint,
        "checkpoint_dir": str(job.trials_folder),
        "log_dir": str(home / "checkpoints"),
    }
    most = _most_at_once(specification, resources)
    search = SweepSearch(source, settings, journal.epochs, most)
    callback = JournalCallback(journal, job.attempt, search, Retries(limits.trial_retries))
    tuner = tune.Tuner(
        tune.with_resources(SweepTrial, resources),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=_scheduler(specification, journal),
            num_samples=-1,  # until the search has no more
            reuse_actors=True,
            trial_name_creator=key_of,
            trial_dirname_creator=key_of,
        ),
        run_config=tune.RunConfig(
            name=f"attempt-{job.attempt}",
            storage_path=str(home / "tune"),
            callbacks=[callback],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            stop=ConsecutiveFailures(callback, limits.consecutive_failures),
            verbose=0,
        ),
    )
    tuner.fit()
    return callback.consecutive_failures >= limits.consecutive_failures


def _scheduler(specification: SweepSpec, journal: Journal) -> AshaScheduler | None:
    """What stops trials that are behind; None where every trial runs to its end."""
    if specification.early_stopping is None:
        return None
    found = [
        trial
        for s in journal.suggestions
        for trial in specification.expand(s.label, s.number, s.configuration).values()
    ]
    labels = {trial.key: trial.optimizer_label for trial in (*specification.trials, *found)}
    halving = SuccessiveHalving(specification.early_stopping, specification.training.epochs)
    return AshaScheduler(halving, journal, labels)


def _most_at_once(specification: SweepSpec, resources: Mapping[str, float]) -> Callable[[], float]:
    """How many trials may be out now.

    Trials of a plan may wait for a place, which lets a cluster grow. A suggestion that waited would
    know less than one that is made when a place is free.
    """
    most = specification.resources.max_concurrent or math.inf
    if not isinstance(specification.search, TpeSearch):
        return lambda: most

    def places() -> float:
        cluster: dict[str, float] = ray.cluster_resources()
        found = [
            math.floor(cluster.get(name, 0) / amount + 1e-9)  # 1 / 0.1 are ten
            for name, amount in resources.items()
            if amount
        ]
        return min(most, max(1.0, min(found, default=cluster.get("CPU", 1.0))))

    return places


def _resources(wanted: ResourcesSpec) -> dict[str, float]:
    """What a trial occupies: as specified, or one CPU, and one GPU where the cluster has any."""
    gpu = wanted.gpu
    if gpu is None:
        gpu = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    cpu = 1.0 if wanted.cpu is None else wanted.cpu
    if not cpu and not gpu:
        message = "must be above 0: a trial gets no GPU either, since the cluster has none"
        raise SpecError([SpecProblem("resources.cpu", message, f"{cpu:g}")])
    return {"CPU": cpu, "GPU": gpu} if gpu else {"CPU": cpu}


def _largest_node_bytes(wanted: ResourcesSpec) -> float:
    """The most memory that a trial can have on a node; infinite where Ray does not know it.

    Ray knows the memory of hosts, not that of GPUs.
    """
    with _cluster():
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if wanted.gpu != 0 and any(node.get("GPU", 0) for node in nodes):
        return math.inf
    return max(
        (node.get("memory", 0) + node.get("object_store_memory", 0) for node in nodes), default=0
    )


def _environment_tags() -> Mapping[str, str]:
    """What a result depends on besides its configuration."""
    tags = {version_tag(name): version(name) for name in ("sasam", "torch", "ray", "mlflow")}
    tags[version_tag("python")] = platform.python_version()
    commit = git_commit()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return tags


if __name__ == "__main__":
    sys.exit(main())
