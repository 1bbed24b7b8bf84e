"""Checks that a sweep continues with the code of its results, unless its user accepts changes."""

from __future__ import annotations

from sqlalchemy.orm import Session

from service.problems import ConflictProblem
from service.storage import SweepRow
from service.trials.repository import TrialRepository
from workers.code_version import code_version
from workers.metrics import RESULTS

__all__ = ["changed_code", "require_same_code"]


def changed_code(session: Session, row: SweepRow) -> str | None:
    """How the code differs from that of a sweep's results; None if it does not, or without any."""
    current = code_version()
    if row.code_version is None or row.code_version == current:
        return None
    counts = TrialRepository(session).count([row.sweep_id])[row.sweep_id]
    ended = sum(counts[outcome] for outcome in RESULTS)
    if not ended:
        return None
    trials = "trial of this sweep has" if ended == 1 else "trials of this sweep have"
    return (
        f"{ended} {trials} ended under sasam {row.code_version}, this is "
        f"{current}; results may not be comparable"
    )


def require_same_code(session: Session, row: SweepRow) -> None:
    """Check that the code is that of a sweep's results.

    Raises:
        ConflictProblem: It is not.
    """
    changed = changed_code(session, row)
    if changed is not None:
        raise ConflictProblem(
            f"{changed}: pass ?force=true to continue anyway",
            code="code-changed",
            before=row.code_version,
            now=code_version(),
        )
