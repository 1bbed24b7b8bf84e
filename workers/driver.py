"""Entry point of a sweep's Ray job: runs the remaining trials of the sweep with Ray Tune.

    reused trials = trials of the specification that another sweep has run (if it asks for reuse)
    remaining trials = trials of the specification - trials that have ended according to the journal
    Tune runs them on reused actors; a callback writes the journal, a thread delivers it to MLflow

Tune's own state is never restored: a restarted driver reads the journal, and an unfinished trial
its own checkpoint. If the journal is lost, the driver recovers it from MLflow.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from ray import tune

from workers.characters import escape_controls
from workers.cluster import cluster_slots, connected, trial_numerics, trial_resources
from workers.code_version import git_commit
from workers.data_changes import require_unchanged_data
from workers.delivery import MlflowWriter
from workers.durable_storage import S3Path, writing
from workers.early_stopping import make_scheduler
from workers.failures import Retries, is_defect
from workers.job import (
    EXIT_DEFECT,
    EXIT_INVALID,
    EXIT_TOO_MANY_FAILURES,
    JOB_VARIABLE,
    DriverJob,
)
from workers.journal import Journal
from workers.mlflow_schema import version_tag
from workers.moments import UtcFormatter
from workers.remote_preflight import SweepFacts, remote_preflight
from workers.reuse import reusable_trials, reuse_trials
from workers.shares import make_shares
from workers.spec import SpecError
from workers.trainable import SweepTrial
from workers.trial_sources import TrialSource, remaining_trials
from workers.tune_callback import ConsecutiveFailures, JournalCallback, key_of
from workers.tune_searcher import SweepSearcher

__all__ = ["main", "run"]

log = logging.getLogger("workers.driver")

_MAX_MESSAGE_CHARACTERS = 1_000
_REPORT_SECONDS = 1.0
"""Shortest interval between two results of a process."""

_ENVIRONMENT = {
    # MLflow's client must not retry by itself: a repeated "create" leaves an orphaned run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Otherwise the end of every run costs a request for a line on the terminal.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Tune writes no result files: results go to the journal, and trials save their checkpoints.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "86400",
    # By default Tune lets a custom searcher have one pending trial; more let a cluster scale up.
    # This is the number for Tune's own searchers.
    "TUNE_MAX_PENDING_TRIALS_PG": "200",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def main() -> int:
    """Run the job in the environment variable; return the exit status."""
    handler = logging.StreamHandler()
    handler.setFormatter(UtcFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        return run(DriverJob.parse(os.environ[JOB_VARIABLE]))
    except SpecError as error:
        for problem in error.problems:
            print(f"sasam: {problem}", file=sys.stderr)  # noqa: T201 - the job's log
        return EXIT_INVALID
    except Exception as error:
        if not is_defect(error):
            raise
        log.exception("the driver cannot run this sweep")
        message = escape_controls(" ".join(f"{type(error).__name__}: {error}".split()))
        print(f"sasam: {message[:_MAX_MESSAGE_CHARACTERS]}", file=sys.stderr)  # noqa: T201 - the job's log
        return EXIT_DEFECT


def run(job: DriverJob) -> int:
    """Run the remaining trials of a sweep; return the exit status.

    Raises:
        SpecError: The sweep cannot run here, such as because its data are missing.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    home = Path(job.scratch_path) / "sweeps" / job.sweep_id
    _require_storage(job)
    with ExitStack() as cluster:
        cluster.enter_context(connected())
        facts = remote_preflight(
            job.specification, data_dir=Path(job.data_dir), cache_dir=home / "data"
        )
        journal = Journal(home / "journal.jsonl")
        writer = MlflowWriter(job, journal, _environment_tags())
        if job.attempt > 1 and not journal.is_started:
            writer.recover()
        require_unchanged_data(journal, facts.data_fingerprint, accepted=job.accepts_changes)
        writer.start()
        try:
            journal.append("sweep_started", tags=dict(facts.tags))
            if job.specification.reuse:
                _reuse(job, journal, facts)
            source = remaining_trials(job.specification, journal, 1 / facts.classes)
            total = job.specification.trial_count
            log.info("attempt %d: %d of %d trials left", job.attempt, source.left, total)
            is_given_up = False
            if source.left:
                with _tolerate_after_progress(journal):
                    is_given_up = _tune(job, source, journal, home, facts)
            journal.append("sweep_ended", status="FAILED" if is_given_up else "FINISHED")
        finally:
            cluster.close()  # free for others before the rest of the journal is delivered
            writer.close()
            journal.close()
    return EXIT_TOO_MANY_FAILURES if is_given_up else 0


def _reuse(job: DriverJob, journal: Journal, facts: SweepFacts) -> None:
    """Take over results of other sweeps that the remaining trials would repeat."""
    if not (wanted := reusable_trials(job.specification, journal)):
        return
    resources = trial_resources(job.specification.resources, facts.trial_memory_bytes)
    numerics = trial_numerics(resources, facts.data_fingerprint)
    reused = reuse_trials(job, journal, wanted, numerics)
    log.info("%d of %d trials reused from other sweeps", reused, len(wanted))


@contextmanager
def _tolerate_after_progress(journal: Journal) -> Iterator[None]:
    """Make a defect that follows progress end only this attempt, not the sweep.

    Tune also raises ``ValueError`` and ``KeyError`` when a node is lost at a bad moment; a sweep
    that has made progress will make progress again.

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
    """Check that storage on S3 can be written; for a folder, opening the journal checks it.

    Raises:
        SystemExit: The storage cannot be written, with the reason.
    """
    try:
        if isinstance(job.trials_folder, S3Path):
            with writing(job.trials_folder.parent / "attempt") as file:
                file.write(str(job.attempt).encode())
    except OSError as error:
        raise SystemExit(f"sasam: {job.storage_path} cannot be written: {error}") from error


def _tune(
    job: DriverJob, source: TrialSource, journal: Journal, home: Path, facts: SweepFacts
) -> bool:
    """Run the trials; return whether too many failed consecutively."""
    specification = job.specification
    limits = specification.limits
    resources = trial_resources(specification.resources, facts.trial_memory_bytes)
    settings = {
        "data_dir": job.data_dir,
        "cache_dir": str(home / "data"),
        "data_fingerprint": facts.data_fingerprint,
        "checkpoint_dir": str(job.trials_folder),
        "log_dir": str(home / "checkpoints"),
        # Early stopping decides about every epoch before the next one.
        "report_seconds": 0.0 if specification.early_stopping else _REPORT_SECONDS,
    }
    shares = make_shares(specification, cluster_slots(specification, resources))
    searcher = SweepSearcher(source, settings, journal.epochs, shares)
    retries = Retries(limits.trial_retries)
    callback = JournalCallback(journal, job.attempt, searcher, shares, retries)
    tuner = tune.Tuner(
        tune.with_resources(SweepTrial, resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=make_scheduler(specification, journal),
            num_samples=-1,  # until the searcher has no more
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


def _environment_tags() -> Mapping[str, str]:
    """Versions of code and libraries, which a result depends on."""
    tags = {version_tag(name): version(name) for name in ("sasam", "torch", "ray", "mlflow")}
    tags[version_tag("python")] = platform.python_version()
    commit = git_commit()
    if commit:
        tags["mlflow.source.git.commit"] = commit
    return tags


if __name__ == "__main__":
    sys.exit(main())
