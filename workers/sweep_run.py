"""Runs the remaining trials of a sweep with Ray Tune.

    reused trials = trials of the specification that another sweep has run (if it asks for reuse)
    remaining trials = trials of the specification - trials that have ended according to the journal
    Tune runs them on reused actors; a callback writes the journal, a thread delivers it to MLflow

Tune's own state is never restored: a restarted driver reads the journal, and an unfinished trial
its own checkpoint. If the journal is lost, the driver recovers it from MLflow.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from ray import tune

from workers.cluster import cluster_slots, trial_numerics, trial_resources
from workers.code_version import git_commit
from workers.data_changes import require_unchanged_data
from workers.delivery import MlflowWriter
from workers.early_stopping import make_scheduler
from workers.failures import Retries, is_defect
from workers.job import DriverJob
from workers.journal import Journal
from workers.mlflow_schema import version_tag
from workers.remote_preflight import SweepFacts
from workers.reuse import reusable_trials, reuse_trials
from workers.shares import make_shares
from workers.trainable import SweepTrial
from workers.trial_sources import TrialSource, remaining_trials
from workers.tune_callback import ConsecutiveFailures, JournalCallback, key_of
from workers.tune_searcher import SweepSearcher

__all__ = ["run_sweep"]

log = logging.getLogger("workers.driver")

_REPORT_SECONDS = 1.0
"""Shortest interval between two results of a process."""


def run_sweep(
    job: DriverJob, home: Path, preflight: Callable[[], SweepFacts], disconnect: Callable[[], None]
) -> bool:
    """Run the remaining trials of a sweep, and deliver their results.

    Args:
        job: The sweep.
        home: Its folder of scratch files.
        preflight: Returns what preflight finds, when it has ended.
        disconnect: Disconnects from the cluster.

    Returns:
        Whether too many trials failed consecutively.

    Raises:
        SpecError: The sweep cannot run here, such as because its data are missing.
    """
    facts = preflight()
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
        disconnect()  # free for others before the rest of the journal is delivered
        writer.close()
        journal.close()
    return is_given_up


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
