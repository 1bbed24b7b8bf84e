"""Views of sweeps: rows of sweeps and counts of trials to the schemas of the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from service.settings import Settings
from service.states import SweepState, allowed_commands
from service.storage import SweepRow
from service.sweeps.repository import SweepRepository
from service.sweeps.schemas import Progress, SweepDetail, SweepLinks, SweepView
from service.trials.repository import TrialRepository
from workers.job import FORCE_HINT
from workers.spec import stored_score

__all__ = ["sweep_details", "sweep_views"]

_BY_DIFFERENCES = (
    "Curvature is measured by differences of gradients, because torch cannot differentiate this "
    "network twice."
)


def sweep_views(session: Session, rows: Sequence[SweepRow], settings: Settings) -> list[SweepView]:
    """Views of sweeps for a list.

    Args:
        session: An open transaction.
        rows: The sweeps.
        settings: Settings, with the address of MLflow for browsers.
    """
    return [SweepView(**fields) for fields in _fields(session, rows, settings)]


def sweep_details(
    session: Session, rows: Sequence[SweepRow], settings: Settings
) -> list[SweepDetail]:
    """Views of sweeps with their specifications.

    Args:
        session: An open transaction.
        rows: The sweeps.
        settings: Settings, with the address of MLflow for browsers.
    """
    return [
        SweepDetail(
            specification=row.specification,
            description=row.description,
            last_event=row.last_event,
            notes=_notes(row),
            code_version=row.code_version,
            hessian_method=row.hessian_method,
            **fields,
        )
        for row, fields in zip(rows, _fields(session, rows, settings), strict=True)
    ]


def _fields(session: Session, rows: Sequence[SweepRow], settings: Settings) -> list[dict[str, Any]]:
    """Fields of the view of each sweep."""
    ids = [row.sweep_id for row in rows]
    counts, sweeps = TrialRepository(session).count(ids), SweepRepository(session)
    recent = sweeps.count_ended_since_start(ids)
    for sweep_id, count in sweeps.count_reused(ids).items():
        counts[sweep_id]["reused"] = count
    return [_view(row, _progress(row, counts[row.sweep_id], recent), settings) for row in rows]


def _view(row: SweepRow, progress: Progress, settings: Settings) -> dict[str, Any]:
    state = SweepState(row.state)
    base = f"/api/v1/sweeps/{row.sweep_id}"
    return {
        "sweep_id": row.sweep_id,
        "name": row.name,
        "state": state,
        "reason": row.reason,
        "needs_force": FORCE_HINT in (row.reason or ""),
        "priority": row.priority,
        "score": stored_score(row.specification).name,
        "creator": row.creator,
        "attempt": row.attempt,
        "progress": progress,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "commands": allowed_commands(state),
        "tags": row.tags,
        "is_archived": row.archived_at is not None,
        "links": SweepLinks(
            page=f"/sweeps/{row.sweep_id}",
            summary=f"{base}/summary",
            trials=f"{base}/trials",
            mlflow=settings.mlflow_run_url(row.mlflow_experiment_id, row.mlflow_run_id),
        ),
    }


def _notes(row: SweepRow) -> list[str]:
    """What a reader should know about the data and the curvature of a sweep."""
    notes = [row.data_notes] if row.data_notes else []
    return [*notes, _BY_DIFFERENCES] if row.hessian_method == "differences" else notes


def _progress(row: SweepRow, counts: Counter[str], recent: Mapping[str, int]) -> Progress:
    """Counts of trials, and their rate since the latest start of the sweep."""
    progress = Progress(total=row.trial_count, **counts)
    ended = recent.get(row.sweep_id, 0)
    if row.started_at is None or not ended:
        return progress
    minutes = ((row.ended_at or datetime.now(UTC)) - row.started_at).total_seconds() / 60
    rate = ended / minutes if minutes > 0 else None
    left = progress.total - progress.ended
    seconds = left / rate * 60 if rate and row.ended_at is None else None
    return progress.model_copy(update={"trials_per_minute": rate, "seconds_left": seconds})
