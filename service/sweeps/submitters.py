"""Limits of one submitter: numbers of unfinished sweeps and trials, and the priority.

A submitter is the name of a token. There are no limits for the local administrator, who needs no
token, and for sweeps whose submitter is unknown because they were rebuilt from MLflow.
"""

from __future__ import annotations

import hashlib

from sqlalchemy.orm import Session

from service.problems import ConflictProblem
from service.security.access import LOCAL, Principal, Role
from service.settings import Settings
from service.sweeps.repository import SweepRepository
from workers.spec import SpecError, SpecProblem, SweepSpec

__all__ = ["require_priority", "require_room", "scoped_key"]


def require_priority(specification: SweepSpec, submitter: Principal, settings: Settings) -> None:
    """Check that a submitter's role allows the priority of a specification.

    Raises:
        SpecError: Only an administrator may request it.
    """
    highest = settings.max_submit_priority
    if specification.priority > highest and not submitter.role.includes(Role.ADMIN):
        message = (
            f"must be at most {highest} for the role {submitter.role} (SASAM_MAX_SUBMIT_PRIORITY); "
            f"the role {Role.ADMIN} may give any"
        )
        raise SpecError([SpecProblem("priority", message, str(specification.priority))])


def require_room(
    session: Session, creator: str | None, settings: Settings, *, sweeps: int = 0, trials: int = 0
) -> None:
    """Check that a submitter stays within the limits.

    The submitter's lock keeps the result valid until the transaction ends.

    Args:
        session: An open transaction, which holds the submitter's lock.
        creator: The submitter's name; None if unknown, which has no limits.
        settings: The limits; 0 disables a limit.
        sweeps: Sweeps about to be stored.
        trials: Trials of these sweeps.

    Raises:
        ConflictProblem: There would be more sweeps or trials than allowed.
    """
    if creator is None or creator == LOCAL.name:
        return
    live, unfinished = SweepRepository(session).count_unfinished(creator)
    for noun, value, limit, variable in (
        ("sweeps", live + sweeps, settings.max_sweeps_per_submitter, "SWEEPS"),
        ("trials", unfinished + trials, settings.max_trials_per_submitter, "TRIALS"),
    ):
        if limit and value > limit:
            raise ConflictProblem(
                f"{creator!r} would have {value} {noun} that have not ended; at most {limit} are "
                f"allowed (SASAM_MAX_{variable}_PER_SUBMITTER). Wait until some have ended, or "
                "cancel some",
                code=f"too-many-{noun}",
                submitter=creator,
                value=value,
                limit=limit,
            )


def scoped_key(creator: str, idempotency_key: str) -> str:
    """A submitter's idempotency key as it is stored, which differs between submitters.

    A digest of both fits the column that earlier versions made unique for the key alone; SQLite
    cannot drop such a constraint without copying the table. Names of tokens have no line breaks.
    """
    return hashlib.sha256(f"{creator}\n{idempotency_key}".encode()).hexdigest()
