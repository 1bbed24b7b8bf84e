"""Entry point of a sweep's Ray job: checks the sweep, then runs its remaining trials.

Preflight imports torch, in a process of its own; Tune and MLflow are imported meanwhile.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from workers.characters import escape_controls
from workers.cluster import connected
from workers.durable_storage import S3Path, writing
from workers.failures import is_defect
from workers.job import (
    EXIT_DEFECT,
    EXIT_INVALID,
    EXIT_TOO_MANY_FAILURES,
    JOB_VARIABLE,
    DriverJob,
)
from workers.moments import UtcFormatter
from workers.remote_preflight import start_preflight
from workers.spec import SpecError

__all__ = ["main", "run"]

log = logging.getLogger("workers.driver")

_MAX_MESSAGE_CHARACTERS = 1_000

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
        preflight = start_preflight(
            job.specification, data_dir=Path(job.data_dir), cache_dir=home / "data"
        )
        from workers.sweep_run import run_sweep  # some seconds, while preflight runs

        is_given_up = run_sweep(job, home, preflight, cluster.close)
    return EXIT_TOO_MANY_FAILURES if is_given_up else 0


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


if __name__ == "__main__":
    sys.exit(main())
