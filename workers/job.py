"""Job of a driver: what the service passes to it in an environment variable, and exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import WrapValidator

from workers.durable_storage import Stored, trials_folder
from workers.spec.fields import STORED, Section
from workers.spec.sweep import SweepSpec

__all__ = [
    "ENTRYPOINT",
    "EXIT_DEFECT",
    "EXIT_INVALID",
    "EXIT_TOO_MANY_FAILURES",
    "FINAL_EXITS",
    "FORCE_HINT",
    "JOB_VARIABLE",
    "DriverJob",
]

ENTRYPOINT = "python -m workers.driver"
JOB_VARIABLE = "SASAM_JOB"
EXIT_INVALID = 65
"""The specification cannot run on this cluster; another attempt would not help."""
EXIT_TOO_MANY_FAILURES = 69
"""``limits.consecutive_failures`` trials failed in a row."""
EXIT_DEFECT = 70
"""The driver raised an error that another attempt would raise again."""
_CANNOT_RUN = (126, 127)
"""Exit statuses of a shell for a program that is not executable or not found."""
FINAL_EXITS = frozenset({EXIT_INVALID, EXIT_TOO_MANY_FAILURES, EXIT_DEFECT, *_CANNOT_RUN})
"""Exit statuses after which another attempt would not help."""
FORCE_HINT = "with force to continue anyway"
"""Words in the reason of a sweep that continues only if the user consents to a change."""


def _validated_once(value: object, validate: Callable[[object], SweepSpec]) -> SweepSpec:
    """Leave a specification as it is that was read from the database with its own bounds."""
    return value if isinstance(value, SweepSpec) else validate(value)


class DriverJob(Section):
    """Job of one driver: sweep, attempt, and locations."""

    sweep_id: str
    attempt: int
    specification: Annotated[SweepSpec, WrapValidator(_validated_once)]
    mlflow_tracking_uri: str
    storage_path: str
    """Storage of checkpoints and logs for all nodes: a folder or ``s3://bucket/prefix``."""
    scratch_path: str
    """Folder of each node for the journal, prepared images and Tune's files."""
    data_dir: str
    """Folder with the data sets on the nodes."""
    accepts_changes: bool = False
    """Whether the user consented to continue with other data than those of the results."""

    @classmethod
    def parse(cls, text: str) -> DriverJob:
        """Read a job from JSON; its specification was validated when it was submitted."""
        return cls.model_validate_json(text, context=STORED)

    @property
    def trials_folder(self) -> Stored:
        """Folder with one folder per trial."""
        return trials_folder(self.storage_path, self.sweep_id)
