"""Decides what happens to sweeps."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from service.events import EventKind
from service.events.repository import EventRepository
from service.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from service.security.access import LOCAL, Principal
from service.settings import Settings
from service.states import COMMANDS, Command, SweepState, allowed_commands
from service.storage import Database, SweepRow
from service.sweeps.estimates import device_seconds, gradient_evaluations
from service.sweeps.lifecycle import transition
from service.sweeps.repository import SweepRepository
from service.sweeps.schemas import (
    DryRunView,
    Progress,
    SweepDetail,
    SweepLinks,
    SweepPage,
    SweepView,
)
from service.sweeps.submitters import require_priority, require_room, scoped_key
from service.trials.repository import TrialRepository
from workers.catalog import datasets
from workers.code_version import code_version
from workers.metrics import RESULTS
from workers.spec import SpecError, SpecProblem, SweepSpec

__all__ = ["SweepService", "changed_code", "require_sweep", "specification_hash"]

_ID_BYTES = 6


class SweepService:
    """Submit, look up and command sweeps.

    Args:
        database: Where they are stored.
        settings: Limits and addresses.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def submit(
        self,
        specification: SweepSpec,
        idempotency_key: str | None = None,
        *,
        submitter: Principal = LOCAL,
    ) -> tuple[SweepDetail, bool]:
        """Store a sweep; the reconciler starts it.

        Submissions of one submitter come one after the other: of two with one key the second finds
        the sweep of the first, and together they stay within the limits.

        Args:
            specification: What to run.
            idempotency_key: The same key of the same submitter with the same specification is the
                same sweep.
            submitter: Who submits it.

        Returns:
            The sweep, and whether it is new.

        Raises:
            SpecError: It has more trials, or a higher priority, than allowed.
            ConflictProblem: The key belongs to a sweep with another specification, or the
                submitter would have more sweeps or trials than allowed.
        """
        self._check(specification, submitter)
        plain = specification.model_dump(mode="json")
        body_hash = specification_hash(plain)
        key = scoped_key(submitter.name, idempotency_key) if idempotency_key is not None else None
        with self._database.transaction() as session:
            sweeps = SweepRepository(session)
            sweeps.lock_submitter(submitter.name)
            if key is not None and (known := sweeps.find_by_idempotency_key(key)) is not None:
                return self._same(session, known, body_hash), False
            require_room(
                session,
                submitter.name,
                self._settings,
                sweeps=1,
                trials=specification.trial_count,
            )
            row = SweepRow(
                sweep_id=secrets.token_hex(_ID_BYTES),
                name=specification.name,
                specification=plain,
                state=SweepState.QUEUED,
                priority=specification.priority,
                attempt=0,
                failures=0,
                trial_count=specification.trial_count,
                creator=submitter.name,
                idempotency_key=key,
                body_hash=body_hash,
                created_at=datetime.now(UTC),
                classes=datasets.entry(specification.dataset.name).facts.get("classes"),
            )
            sweeps.add(row)
            TrialRepository(session).plan(row.sweep_id, specification.trials)
            born = {"state": row.state, "before": None, "reason": None, "attempt": 0}
            EventRepository(session).append(row.sweep_id, (EventKind.STATE, born))
            session.refresh(row)
            return self._detail(session, row), True

    def estimate(self, specification: SweepSpec, *, submitter: Principal = LOCAL) -> DryRunView:
        """What a sweep would cost, without storing it.

        Raises:
            SpecError: It has more trials, or a higher priority, than allowed.
        """
        self._check(specification, submitter)
        evaluations = gradient_evaluations(specification)
        with self._database.snapshot() as session:
            seconds = device_seconds(session, specification)
        return DryRunView(
            trials=specification.trial_count,
            gradient_evaluations=None if evaluations is None else sum(evaluations),
            device_seconds=seconds,
            specification=specification.model_dump(mode="json"),
        )

    def page(
        self, *, states: Sequence[SweepState], name: str | None, cursor: str | None, limit: int
    ) -> SweepPage:
        """A page of sweeps, newest first.

        Raises:
            InvalidProblem: The cursor is none of ours.
        """
        before = _read_cursor(cursor) if cursor else None
        with self._database.snapshot() as session:
            rows = SweepRepository(session).page(
                states=states, name=name, before=before, limit=limit + 1
            )
            shown = rows[:limit]
            fields = self._fields(session, shown)
        views = [SweepView(**fields[row.sweep_id]) for row in shown]
        more = len(rows) > limit
        return SweepPage(sweeps=views, next_cursor=_write_cursor(shown[-1]) if more else None)

    def search(
        self, *, states: Sequence[SweepState] = (), text: str = "", offset: int = 0, limit: int
    ) -> tuple[list[SweepDetail], int]:
        """The newest sweeps by part of their name or the beginning of their id, and how many."""
        with self._database.snapshot() as session:
            rows, total = SweepRepository(session).search(
                states=states, text=text, offset=offset, limit=limit
            )
            fields = self._fields(session, rows)
        return [_detail(row, fields[row.sweep_id]) for row in rows], total

    def get(self, sweep_id: str) -> SweepDetail:
        """One sweep.

        Raises:
            NotFoundProblem: There is none of that id.
        """
        with self._database.snapshot() as session:
            return self._detail(session, require_sweep(session, sweep_id))

    def command(
        self, sweep_id: str, command: Command, *, accept_changes: bool = False
    ) -> SweepDetail:
        """Ask something of a sweep; the reconciler does it.

        Args:
            sweep_id: The sweep.
            command: What is asked.
            accept_changes: Go on although code or data are not those of the trials that ended.

        Raises:
            NotFoundProblem: There is none of that id.
            ConflictProblem: Not in its state, the code has changed, or whose sweep it is would
                have more sweeps or trials that have not ended than allowed.
        """
        with self._database.transaction() as session:
            row = require_sweep(session, sweep_id, lock=True)
            before = SweepState(row.state)
            after = COMMANDS[command].get(before)
            fresh: dict[str, Any] = {"not_before": None, "failures": 0}
            if after is SweepState.QUEUED:
                fresh["accepts_changes"] = accept_changes
            if after is None or not transition(session, sweep_id, before, after, **fresh):
                raise _refusal(command, before)
            if after is SweepState.QUEUED and not accept_changes:
                _refuse_other_code(session, row)
            if command is Command.RETRY_FAILED:
                if row.creator is not None:
                    SweepRepository(session).lock_submitter(row.creator)
                self._forget_failed(session, sweep_id)
                require_room(session, row.creator, self._settings)
            session.refresh(row)
            return self._detail(session, row)

    def delete(self, sweep_id: str) -> None:
        """Forget a sweep that has ended; its MLflow runs stay.

        Raises:
            NotFoundProblem: There is none of that id.
            ConflictProblem: It has not ended.
        """
        with self._database.transaction() as session:
            row = require_sweep(session, sweep_id, lock=True)
            if not SweepRepository(session).remove(sweep_id):
                raise _refusal(Command.DELETE, SweepState(row.state))

    def _forget_failed(self, session: Session, sweep_id: str) -> None:
        trials = TrialRepository(session)
        trials.forget_unsuccessful(sweep_id)
        counts = trials.count([sweep_id])[sweep_id]
        if not counts["pending"] + counts["running"]:
            detail = "every trial has a result; nothing to retry"
            raise ConflictProblem(detail, code="nothing-to-retry")

    def _same(self, session: Session, row: SweepRow, body_hash: str) -> SweepDetail:
        """The sweep an idempotency key stands for."""
        if row.body_hash != body_hash:
            raise ConflictProblem(
                f"this Idempotency-Key belongs to sweep {row.sweep_id}, which has another "
                "specification; use a new key",
                code="idempotency-key-reused",
                sweep_id=row.sweep_id,
            )
        return self._detail(session, row)

    def _check(self, specification: SweepSpec, submitter: Principal) -> None:
        """Check what does not depend on other sweeps."""
        require_priority(specification, submitter, self._settings)
        limit = self._settings.max_trials
        if specification.trial_count > limit:
            message = f"at most {limit} trials a sweep (optimizers x configurations x seeds)"
            raise SpecError([SpecProblem("search", message, str(specification.trial_count))])

    def _detail(self, session: Session, row: SweepRow) -> SweepDetail:
        fields = self._fields(session, [row])[row.sweep_id]
        return _detail(row, fields)

    def _fields(self, session: Session, rows: Sequence[SweepRow]) -> dict[str, dict[str, Any]]:
        """What a view says of each sweep, by id."""
        ids = [row.sweep_id for row in rows]
        counts = TrialRepository(session).count(ids)
        recent = SweepRepository(session).count_ended_since_start(ids)
        return {
            row.sweep_id: self._view(row, _progress(row, counts[row.sweep_id], recent))
            for row in rows
        }

    def _view(self, row: SweepRow, progress: Progress) -> dict[str, Any]:
        state = SweepState(row.state)
        base = f"/api/v1/sweeps/{row.sweep_id}"
        return {
            "sweep_id": row.sweep_id,
            "name": row.name,
            "state": state,
            "reason": row.reason,
            "priority": row.priority,
            "creator": row.creator,
            "attempt": row.attempt,
            "progress": progress,
            "created_at": row.created_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "commands": allowed_commands(state),
            "tags": row.specification.get("tags", {}),
            "links": SweepLinks(
                page=f"/sweeps/{row.sweep_id}",
                summary=f"{base}/summary",
                trials=f"{base}/trials",
                mlflow=self._settings.mlflow_run_url(row.mlflow_experiment_id, row.mlflow_run_id),
            ),
        }


def specification_hash(plain: Mapping[str, Any]) -> str:
    """Tells specifications apart; equal for those that say the same."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def require_sweep(session: Session, sweep_id: str, *, lock: bool = False) -> SweepRow:
    """The sweep of that id.

    Args:
        session: An open transaction.
        sweep_id: The sweep.
        lock: Nobody else changes it until the transaction ends.

    Raises:
        NotFoundProblem: There is none.
    """
    sweeps = SweepRepository(session)
    row = sweeps.lock(sweep_id) if lock else sweeps.get(sweep_id)
    if row is None:
        raise NotFoundProblem(f"no sweep {sweep_id[:40]!r}", code="unknown-sweep")
    return row


def _detail(row: SweepRow, fields: Mapping[str, Any]) -> SweepDetail:
    return SweepDetail(specification=row.specification, last_event=row.last_event, **fields)


def _refusal(command: Command, state: SweepState) -> ConflictProblem:
    allowed = allowed_commands(state)
    return ConflictProblem(
        f"a {state} sweep cannot {command}; it can {', '.join(allowed) or 'nothing'}",
        code="wrong-state",
        state=state,
        allowed=allowed,
    )


def changed_code(session: Session, row: SweepRow) -> str | None:
    """Why the code of now is not that of a sweep's results; None where it is, or there are none."""
    now = code_version()
    if row.code_version is None or row.code_version == now:
        return None
    counts = TrialRepository(session).count([row.sweep_id])[row.sweep_id]
    ended = sum(counts[outcome] for outcome in RESULTS)
    if not ended:
        return None
    return (
        f"{ended} trials of this sweep have ended under sasam {row.code_version}, this is {now}; "
        "results may not be comparable"
    )


def _refuse_other_code(session: Session, row: SweepRow) -> None:
    """Results of two versions of the code are not comparable unless someone says so."""
    changed = changed_code(session, row)
    if changed is not None:
        raise ConflictProblem(
            f"{changed}: pass ?force=true to go on all the same",
            code="code-changed",
            before=row.code_version,
            now=code_version(),
        )


def _progress(row: SweepRow, counts: Counter[str], recent: Mapping[str, int]) -> Progress:
    """Counts, and the rate of trials since the sweep started, the last time it did."""
    progress = Progress(total=row.trial_count, **counts)
    ended = recent.get(row.sweep_id, 0)
    if row.started_at is None or not ended:
        return progress
    minutes = ((row.ended_at or datetime.now(UTC)) - row.started_at).total_seconds() / 60
    rate = ended / minutes if minutes > 0 else None
    left = progress.total - progress.ended
    seconds = left / rate * 60 if rate and row.ended_at is None else None
    return progress.model_copy(update={"trials_per_minute": rate, "seconds_left": seconds})


def _write_cursor(row: SweepRow) -> str:
    text = f"{row.created_at.isoformat()} {row.sweep_id}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        moment, sweep_id = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        int(sweep_id, base=16)  # else it is no id
        return datetime.fromisoformat(moment).astimezone(UTC), sweep_id
    except (ValueError, OverflowError):
        detail = f"cursor {cursor[:40]!r} is none of this service's; start without one"
        raise InvalidProblem(detail, code="invalid-cursor") from None
