"""Operations on one sweep: state, commands, trials and logs, and those on its results."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from service.client.errors import MissingPackageError
from service.client.operations import Operation, PagedOperation, endpoint, paged_endpoint
from service.client.result_operations import ResultOperations
from service.client.specifications import YAML, Specification, body_of
from service.states import SweepState
from service.sweeps.schemas import DryRunView, Progress, RepairView, SweepDetail
from service.trials.schemas import TrialDetail, TrialPage, TrialView

if TYPE_CHECKING:  # importing them takes a second: only where they are needed
    from pandas import DataFrame

__all__ = ["SweepOperations"]

S = TypeVar("S")

_PAGE = 1000


class SweepOperations(ResultOperations, Generic[S]):
    """Operations on one sweep, described once for both clients."""

    def __repr__(self) -> str:
        """Id, state and progress."""
        done = f"{self.progress.ended}/{self.progress.total} trials"
        kind = type(self).__name__
        return f"<{kind} {self.sweep_id} {self.detail.name!r} {self.state}, {done}>"

    @property
    def state(self) -> SweepState:
        """State as of the last response."""
        return self.detail.state

    @property
    def progress(self) -> Progress:
        """Progress of the trials as of the last response."""
        return self.detail.progress

    @endpoint
    def refresh(self) -> Operation[S]:
        """Request the current state."""
        return self._get("", self._update)

    @endpoint
    def update(
        self,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
        archived: bool | None = None,
    ) -> Operation[S]:
        """Change what users keep with the sweep; None leaves it as it is.

        Args:
            name: New name; the experiment in MLflow keeps the name of the specification.
            tags: All its tags.
            description: What its users note about it.
            archived: Whether lists leave it out; only a sweep that has ended can be archived.

        Raises:
            ProblemError: A value is invalid, or the sweep has not ended and cannot be archived.
        """
        given = {"name": name, "tags": tags, "description": description, "archived": archived}
        content = json.dumps({key: value for key, value in given.items() if value is not None})
        headers = {"Content-Type": "application/json"}
        return Operation("PATCH", self._path(""), self._update, content=content, headers=headers)

    @endpoint
    def specification_text(self) -> Operation[str]:
        """The specification as it was submitted, with its comments: YAML or JSON."""
        return self._get("/specification", bytes.decode)

    @endpoint
    def extend(self, specification: Specification, *, force: bool = False) -> Operation[S]:
        """Add trials to the sweep: its specification with more seeds, values or optimizers.

        Its trials keep their keys and results. If it has ended, it is queued again; its failed and
        cancelled trials then run with the new ones.

        Args:
            specification: All its trials, those it has and new ones.
            force: Also if the code has changed since the trials that have ended.

        Raises:
            ProblemError: The specification is invalid or would change a trial of the sweep.
        """
        return self._extension(specification, self._update, force=force or None)

    @endpoint
    def estimate_extension(self, specification: Specification) -> Operation[DryRunView]:
        """Check an extension and estimate the cost of its new trials; nothing is changed.

        Raises:
            ProblemError: The specification is invalid or would change a trial of the sweep.
        """
        return self._extension(specification, DryRunView.model_validate_json, dry_run=True)

    @endpoint
    def pause(self) -> Operation[S]:
        """Stop the trials; ``resume`` continues from their checkpoints."""
        return self._send_command("pause")

    @endpoint
    def resume(self, *, force: bool = False) -> Operation[S]:
        """Queue the sweep again after a pause.

        Args:
            force: Also if the code has changed since the trials that have ended.
        """
        return self._send_command("resume", force=force or None)

    @endpoint
    def cancel(self) -> Operation[S]:
        """Cancel the sweep; results of finished trials are kept."""
        return self._send_command("cancel")

    @endpoint
    def retry_failed(self, *, force: bool = False) -> Operation[S]:
        """Run the failed, cancelled and missing trials of the ended sweep again.

        Args:
            force: Also if the code has changed since the trials that have ended.
        """
        return self._send_command("retry-failed", force=force or None)

    @endpoint
    def delete(self) -> Operation[None]:
        """Delete the ended sweep; its MLflow runs are kept."""
        return Operation("DELETE", self._path(""), lambda _: None)

    @endpoint
    def repair(self) -> Operation[RepairView]:
        """Rebuild the trials of the sweep from MLflow; for administrators."""
        return Operation("POST", self._path("/repair"), RepairView.model_validate_json)

    @paged_endpoint
    def trials(
        self, *, status: str | None = None, at: Mapping[str, Any] | Sequence[str] = ()
    ) -> PagedOperation[TrialView]:
        """Trials in the order of the specification.

        Args:
            status: Only trials with this status: an outcome, ``running`` or ``pending``.
            at: Only trials with these values of hyperparameters, such as
                ``{"optimizer.momentum": 0.9}`` or ``["optimizer.momentum=0.9"]``.
        """
        conditions = (
            [f"{name}={json.dumps(value)}" for name, value in at.items()]
            if isinstance(at, Mapping)
            else list(at)
        )

        def read(content: bytes) -> tuple[list[TrialView], str | None]:
            page = TrialPage.model_validate_json(content)
            return page.trials, page.next_cursor

        params = {"status": status, "at": conditions or None, "limit": _PAGE}
        return PagedOperation(self._path("/trials"), read, params)

    @endpoint
    def trial(self, key: str) -> Operation[TrialDetail]:
        """One trial with configuration, learning curves and, if it failed, its traceback."""
        return self._get(f"/trials/{key}", TrialDetail.model_validate_json)

    @endpoint
    def trial_specification(self, key: str) -> Operation[str]:
        """A specification, as YAML, whose only trial is this one: to run it again."""
        return self._get(f"/trials/{key}/specification", bytes.decode)

    @endpoint
    def trial_checkpoint(self, key: str) -> Operation[bytes]:
        """The last checkpoint of a trial, a file of ``torch.save``; needs the role `submit`.

        Raises:
            ProblemError: It has none: it was pruned, or none was saved yet.
        """
        return self._get(f"/trials/{key}/checkpoint", bytes)

    @endpoint
    def trials_csv(self) -> Operation[str]:
        """All trials as CSV, one row per trial, one column per hyperparameter and metric."""
        return self._get("/trials.csv", bytes.decode)

    @endpoint
    def to_pandas(self) -> Operation[DataFrame]:
        """All trials as a data frame: configuration, status and metrics, one row per trial.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return self._get("/trials.csv", _frame)

    @endpoint
    def logs(
        self, trial: str | None = None, *, attempt: int | None = None, tail: int | None = None
    ) -> Operation[str]:
        """The last lines of the logs of the sweep's drivers, or of one trial.

        Args:
            trial: Key of a trial; None for the drivers.
            attempt: Only the driver of this attempt.
            tail: Largest number of lines of each log.
        """
        place = "/logs" if trial is None else f"/trials/{trial}/logs"
        return self._get(place, bytes.decode, attempt=attempt, tail=tail)

    def _send_command(self, name: str, **params: Any) -> Operation[S]:
        return Operation("POST", self._path(f"/{name}"), self._update, params)

    def _extension(self, specification: Specification, read: Any, **params: Any) -> Operation[Any]:
        """A request with a specification of more trials; the same one twice changes nothing."""
        headers = {"Content-Type": YAML, "Idempotency-Key": uuid.uuid4().hex}
        path, content = self._path("/extend"), body_of(specification)
        return Operation("POST", path, read, params, content, headers)

    def _update(self, content: bytes) -> S:
        self.detail = SweepDetail.model_validate_json(content)
        return cast(S, self)


def _frame(content: bytes) -> DataFrame:
    """The data frame of a CSV of trials; keys stay text."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("to_pandas needs pandas: pip install pandas") from error
    return pd.read_csv(io.BytesIO(content), dtype={"key": str})
