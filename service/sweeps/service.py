"""Sweep service: submission, cost estimates, lookup, commands and deletion of sweeps."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from service.events import EventKind
from service.events.repository import EventRepository
from service.problems import ConflictProblem, NotFoundProblem
from service.security.access import LOCAL, Principal
from service.settings import Settings
from service.states import COMMANDS, TERMINAL, Command, SweepState, allowed_commands
from service.storage import Database, SweepRow
from service.sweeps.annotations import SweepChanges
from service.sweeps.code_changes import require_same_code
from service.sweeps.code_permission import require_code_permission
from service.sweeps.cursors import parse_cursor, write_cursor
from service.sweeps.dry_runs import dry_run
from service.sweeps.lifecycle import transition
from service.sweeps.repository import SweepRepository
from service.sweeps.schemas import DryRunView, SweepDetail, SweepPage
from service.sweeps.selection import SweepOrder, SweepSelection
from service.sweeps.stored_specifications import specification_hash, specification_text
from service.sweeps.submitters import require_priority, require_room, scoped_key
from service.sweeps.views import sweep_details, sweep_views
from service.trials.repository import TrialRepository
from workers.catalog import datasets
from workers.spec import SpecError, SpecProblem, SweepSpec, read_stored
from workers.spec.extension import require_extension

__all__ = ["SweepService", "require_sweep"]

_ID_BYTES = 6
_PARTICIPLES = {
    Command.PAUSE: "paused",
    Command.RESUME: "resumed",
    Command.CANCEL: "cancelled",
    Command.RETRY_FAILED: "retried",
    Command.EXTEND: "extended",
    Command.DELETE: "deleted",
}


class SweepService:
    """Submission, lookup and commands of sweeps.

    Args:
        database: The database that stores them.
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
        text: str | None = None,
    ) -> tuple[SweepDetail, bool]:
        """Store a sweep; the reconciler starts it.

        Submissions of one submitter are serialized: of two with the same key, the second returns
        the sweep of the first, and together they stay within the limits.

        Args:
            specification: The specification of the sweep.
            idempotency_key: A key for which a repeated submission, by the same submitter and with
                the same specification, returns the stored sweep; None to store a new one.
            submitter: The caller.
            text: The specification as its author wrote it; None if there is no such text.

        Returns:
            The sweep, and whether it is new.

        Raises:
            SpecError: It has more trials, a higher priority, or other code than allowed.
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
                return self._known(session, known, body_hash), False
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
                submitted_text=text,
                tags=specification.tags,
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
            TrialRepository(session).plan(row.sweep_id, specification)
            creation = {"state": row.state, "before": None, "reason": None, "attempt": 0}
            EventRepository(session).append(row.sweep_id, (EventKind.STATE, creation))
            session.refresh(row)
            return self._detail(session, row), True

    def extend(
        self,
        sweep_id: str,
        specification: SweepSpec,
        *,
        submitter: Principal = LOCAL,
        text: str | None = None,
        accept_changes: bool = False,
    ) -> SweepDetail:
        """Add trials to a sweep; its results, and the keys of its trials, stay the same.

        A sweep that has ended is queued again, and its failed, cancelled and missing trials run
        with the new ones. A running driver ends what it knows; the next one runs the rest. The
        specification that the sweep has already changes nothing.

        Args:
            sweep_id: The sweep.
            specification: The specification of all its trials, those it has and new ones.
            submitter: The caller.
            text: The specification as its author wrote it; None if there is no such text.
            accept_changes: Whether to continue although code or data differ from those of the
                trials that have ended.

        Raises:
            NotFoundProblem: There is no sweep with that id.
            SpecError: A trial of the sweep would change or be missing, none would be new, or it has
                more trials or other code than allowed.
            ConflictProblem: The sweep is being cancelled, the code has changed, or its submitter
                would have more unfinished sweeps or trials than allowed.
        """
        self._check_size_and_code(specification, submitter)
        plain = specification.model_dump(mode="json")
        with self._database.transaction() as session:
            row = require_sweep(session, sweep_id, lock=True)
            before = SweepState(row.state)
            if Command.EXTEND not in allowed_commands(before):
                raise _refusal(Command.EXTEND, before)
            if plain == row.specification:
                return self._detail(session, row)
            require_extension(read_stored(row.specification), specification)
            if row.creator is not None:
                SweepRepository(session).lock_submitter(row.creator)
            added = specification.trial_count - row.trial_count
            row.specification, row.submitted_text = plain, text
            row.trial_count += added
            row.extended_in = row.attempt
            session.flush()
            TrialRepository(session).plan(sweep_id, specification)
            change = {"trials": row.trial_count, "added": added}
            EventRepository(session).append(sweep_id, (EventKind.EXTENDED, change))
            if before in TERMINAL:
                if not accept_changes:
                    require_same_code(session, row)
                TrialRepository(session).reset_unsuccessful(sweep_id)
                fresh = {"not_before": None, "failures": 0, "accepts_changes": accept_changes}
                transition(session, sweep_id, before, SweepState.QUEUED, **fresh)
            require_room(session, row.creator, self._settings)
            session.refresh(row)
            return self._detail(session, row)

    def estimate(
        self,
        specification: SweepSpec,
        *,
        submitter: Principal = LOCAL,
        extended: str | None = None,
    ) -> DryRunView:
        """Estimate the cost of a sweep, or of its extension, without storing it.

        Args:
            specification: The specification.
            submitter: The caller.
            extended: Id of the sweep that it would extend; the cost is that of the new trials.

        Raises:
            NotFoundProblem: There is no sweep with that id.
            SpecError: It has more trials, a higher priority, or other code than allowed, or does
                not extend the sweep.
        """
        if extended is None:
            self._check(specification, submitter)
        else:
            self._check_size_and_code(specification, submitter)
        with self._database.snapshot() as session:
            before = None
            if extended is not None:
                before = read_stored(require_sweep(session, extended).specification)
                if before != specification:
                    require_extension(before, specification)
            return dry_run(session, specification, before)

    def page(self, selection: SweepSelection, *, cursor: str | None, limit: int) -> SweepPage:
        """A page of the selected sweeps, newest first.

        Raises:
            InvalidProblem: This service did not write the cursor.
        """
        before = parse_cursor(cursor) if cursor else None
        with self._database.snapshot() as session:
            rows = SweepRepository(session).page(selection, before=before, limit=limit + 1)
            shown = rows[:limit]
            views = sweep_views(session, shown, self._settings)
        has_more = len(rows) > limit
        return SweepPage(sweeps=views, next_cursor=write_cursor(shown[-1]) if has_more else None)

    def search(
        self,
        selection: SweepSelection,
        *,
        order: SweepOrder = SweepOrder.NEWEST,
        offset: int = 0,
        limit: int,
    ) -> tuple[list[SweepDetail], int]:
        """Page and number of the selected sweeps."""
        with self._database.snapshot() as session:
            rows, total = SweepRepository(session).search(
                selection, order=order, offset=offset, limit=limit
            )
            return sweep_details(session, rows, self._settings), total

    def get(self, sweep_id: str) -> SweepDetail:
        """One sweep.

        Raises:
            NotFoundProblem: There is no sweep with that id.
        """
        with self._database.snapshot() as session:
            return self._detail(session, require_sweep(session, sweep_id))

    def text(self, sweep_id: str) -> str:
        """The specification of a sweep as it was submitted; else as YAML without defaults.

        Raises:
            NotFoundProblem: There is no sweep with that id.
        """
        with self._database.snapshot() as session:
            row = require_sweep(session, sweep_id)
            return row.submitted_text or specification_text(row.specification)

    def annotate(self, sweep_id: str, changes: SweepChanges) -> SweepDetail:
        """Change name, tags, description of a sweep, or whether it is archived.

        Raises:
            NotFoundProblem: There is no sweep with that id.
            ConflictProblem: It is to be archived and has not ended.
        """
        with self._database.transaction() as session:
            row = require_sweep(session, sweep_id, lock=True)
            given = changes.model_dump(exclude_none=True)
            archived = given.pop("archived", None)
            if archived and row.state not in TERMINAL:
                detail = f"a {row.state} sweep cannot be archived; it must have ended"
                raise ConflictProblem(detail, code="wrong-state", state=row.state)
            if archived is not None:
                row.archived_at = (row.archived_at or datetime.now(UTC)) if archived else None
            for name, value in given.items():
                setattr(row, name, value)
            session.flush()
            return self._detail(session, row)

    def command(
        self, sweep_id: str, command: Command, *, accept_changes: bool = False
    ) -> SweepDetail:
        """Store the state that a command requests; the reconciler brings it about.

        Args:
            sweep_id: The sweep.
            command: The command.
            accept_changes: Whether to continue although code or data differ from those of the
                trials that have ended.

        Raises:
            NotFoundProblem: There is no sweep with that id.
            ConflictProblem: The sweep does not accept the command in its state, the code has
                changed, or its submitter would have more unfinished sweeps or trials than allowed.
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
                require_same_code(session, row)
            if command is Command.RETRY_FAILED:
                if row.creator is not None:
                    SweepRepository(session).lock_submitter(row.creator)
                self._reset_unsuccessful(session, sweep_id)
                require_room(session, row.creator, self._settings)
            session.refresh(row)
            return self._detail(session, row)

    def delete(self, sweep_id: str) -> None:
        """Delete a sweep that has ended; its MLflow runs stay.

        Raises:
            NotFoundProblem: There is no sweep with that id.
            ConflictProblem: It has not ended.
        """
        with self._database.transaction() as session:
            row = require_sweep(session, sweep_id, lock=True)
            if not SweepRepository(session).remove(sweep_id):
                raise _refusal(Command.DELETE, SweepState(row.state))

    def _reset_unsuccessful(self, session: Session, sweep_id: str) -> None:
        """Make unsuccessful trials pending again; refuse if no trial is left to run."""
        trials = TrialRepository(session)
        trials.reset_unsuccessful(sweep_id)
        counts = trials.count([sweep_id])[sweep_id]
        if not counts["pending"] + counts["running"]:
            detail = "every trial has a result; nothing to retry"
            raise ConflictProblem(detail, code="nothing-to-retry")

    def _known(self, session: Session, row: SweepRow, body_hash: str) -> SweepDetail:
        """The stored sweep of an idempotency key; refuse another specification."""
        if row.body_hash != body_hash:
            raise ConflictProblem(
                f"this Idempotency-Key belongs to sweep {row.sweep_id}, which has another "
                "specification; use a new key",
                code="idempotency-key-reused",
                sweep_id=row.sweep_id,
            )
        return self._detail(session, row)

    def _check(self, specification: SweepSpec, submitter: Principal) -> None:
        """Check permissions, and the limits that do not depend on other sweeps."""
        require_priority(specification, submitter, self._settings)
        self._check_size_and_code(specification, submitter)

    def _check_size_and_code(self, specification: SweepSpec, submitter: Principal) -> None:
        """Check the number of trials, and that the submitter may submit its code."""
        require_code_permission(specification, submitter, self._settings)
        limit = self._settings.max_trials
        if specification.trial_count > limit:
            message = f"at most {limit} trials a sweep (optimizers x configurations x seeds)"
            raise SpecError([SpecProblem("search", message, str(specification.trial_count))])

    def _detail(self, session: Session, row: SweepRow) -> SweepDetail:
        return sweep_details(session, [row], self._settings)[0]


def require_sweep(session: Session, sweep_id: str, *, lock: bool = False) -> SweepRow:
    """The sweep with an id.

    Args:
        session: An open transaction.
        sweep_id: The sweep.
        lock: Whether to lock it until the transaction ends.

    Raises:
        NotFoundProblem: There is no sweep with that id.
    """
    sweeps = SweepRepository(session)
    row = sweeps.lock(sweep_id) if lock else sweeps.get(sweep_id)
    if row is None:
        raise NotFoundProblem(f"no sweep {sweep_id[:40]!r}", code="unknown-sweep")
    return row


def _refusal(command: Command, state: SweepState) -> ConflictProblem:
    allowed = allowed_commands(state)
    return ConflictProblem(
        f"a {state} sweep cannot be {_PARTICIPLES[command]}; possible commands: "
        f"{', '.join(allowed) or 'none'}",
        code="wrong-state",
        state=state,
        allowed=allowed,
    )
