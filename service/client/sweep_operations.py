"""Operations on one sweep: state, commands, trials, logs, summaries and figures."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter

from service.client.errors import MissingPackageError
from service.client.figure import Figure
from service.client.operations import Operation, PagedOperation, endpoint, paged_endpoint
from service.client.specifications import YAML, Specification, body_of
from service.states import SweepState
from service.sweeps.schemas import DryRunView, Progress, RepairView, SweepDetail
from service.trials.schemas import TrialDetail, TrialPage, TrialView

if TYPE_CHECKING:  # importing them takes a second: only where they are needed
    from pandas import DataFrame

    from service.sensitivity import FigureData, SweepSummary
    from service.sensitivity.schemas import FigureView
    from service.sensitivity.sweep_summary import Budget

__all__ = ["SweepOperations"]

S = TypeVar("S")

FigureOption = str | Sequence[str] | None
"""Value of an option of a figure; a list repeats the query parameter."""

_ROOT = "/api/v1/sweeps"
_PAGE = 1000


class SweepOperations(Generic[S]):
    """Operations on one sweep, described once for both clients.

    Attributes:
        detail: State and specification as of the last response; ``refresh`` updates them.
    """

    detail: SweepDetail

    def __repr__(self) -> str:
        """Id, state and progress."""
        done = f"{self.progress.ended}/{self.progress.total} trials"
        kind = type(self).__name__
        return f"<{kind} {self.sweep_id} {self.detail.name!r} {self.state}, {done}>"

    @property
    def sweep_id(self) -> str:
        """Id of the sweep."""
        return self.detail.sweep_id

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

    @endpoint
    def summary(
        self,
        *,
        target: float | None = None,
        epsilon: float | None = None,
        gradient_evaluations: Budget | None = None,
        optimizers: Iterable[str] = (),
    ) -> Operation[SweepSummary]:
        """Summary of how much each optimizer depends on tuning.

        Args:
            target: Score for ``trials_to_target``.
            epsilon: Difference from the best score up to which a trial counts as near-optimal; by
                default 0.01 of accuracy, 0.05 nats of loss.
            gradient_evaluations: Cut every trial at this budget, or at the largest budget that
                every optimizer spent (``"equal"``).
            optimizers: Only optimizers with these labels; empty for all.

        Raises:
            ProblemError: No trial has finished yet, or an option is out of range.
        """
        from service.sensitivity.schemas import SweepSummary

        params = _summary_params(target, epsilon, gradient_evaluations, optimizers)
        return self._get("/summary", SweepSummary.model_validate_json, **params)

    @endpoint
    def summary_text(
        self,
        file_format: str,
        *,
        target: float | None = None,
        epsilon: float | None = None,
        gradient_evaluations: Budget | None = None,
        optimizers: Iterable[str] = (),
    ) -> Operation[str]:
        """The summary as ``csv`` or ``latex``, with the options of ``summary``."""
        params = _summary_params(target, epsilon, gradient_evaluations, optimizers)
        return self._get("/summary", bytes.decode, format=file_format, **params)

    @endpoint
    def next_cells(self) -> Operation[str]:
        """A specification of the neighbours of the best configurations that were not measured.

        Raises:
            ProblemError: Every neighbour was measured, or the search is not a grid.
        """
        return self._get("/next-cells", bytes.decode)

    @endpoint
    def best_configuration(
        self, optimizer: str | None = None, file_format: str = "yaml"
    ) -> Operation[str]:
        """The best configuration of an optimizer, to run it or to use it in code.

        Args:
            optimizer: Label of the optimizer; None for the one with the best validation score.
            file_format: ``yaml`` for a specification of one trial, ``python`` for code.

        Raises:
            ProblemError: No trial has finished yet, or there is no such optimizer.
        """
        return self._get(
            "/best-configuration", bytes.decode, optimizer=optimizer, format=file_format
        )

    @endpoint
    def report(self, *, theme: str = "light") -> Operation[str]:
        """Summary, caveats, comparisons and all figures as one HTML page."""
        return self._get("/report.html", bytes.decode, theme=theme)

    @endpoint
    def figures(self) -> Operation[list[FigureView]]:
        """The available figures and the options of each."""
        from service.sensitivity.schemas import FigureView

        return self._get("/figures", TypeAdapter(list[FigureView]).validate_json)

    @endpoint
    def figure(self, /, name: str, **options: FigureOption) -> Operation[Figure]:
        """A figure, which notebooks display and ``Figure.save`` writes to a file.

        Args:
            name: Such as ``accuracy-heatmap``, ``trace-heatmap``, ``best``, ``lr-curves``.
            options: ``theme``, ``gradient_evaluations``, and the options that ``figures`` lists,
                such as ``metric``, ``split``, ``x``, ``y``, ``rest`` and ``at``.

        Raises:
            ProblemError: There is no such figure, or the trials lack the data for it (yet).
        """
        return self._get(f"/figures/{name}", Figure.read, **{**options, "format": "vega-lite"})

    @endpoint
    def figure_file(
        self, /, name: str, file_format: str = "svg", **options: FigureOption
    ) -> Operation[bytes]:
        """A figure as ``svg``, ``png`` or ``vega-lite``, or its data as ``json`` or ``csv``."""
        return self._get(f"/figures/{name}", bytes, **{**options, "format": file_format})

    @endpoint
    def figure_data(self, /, name: str, **options: FigureOption) -> Operation[FigureData]:
        """The data of a figure."""
        from service.sensitivity.figures import FigureData

        return self._get(f"/figures/{name}", FigureData.model_validate_json, **options)

    @endpoint
    def heatmap(
        self,
        metric: str,
        *,
        split: str | None = None,
        x: str | None = None,
        y: str | None = None,
        rest: str | None = None,
        at: Mapping[str, Any] | None = None,
    ) -> Operation[FigureData]:
        """A metric, such as ``ood_accuracy``, over two hyperparameters.

        Args:
            metric: Name of the metric.
            split: Of a curvature: ``validation`` or ``ood``.
            x: Horizontal axis, such as ``optimizer.momentum``; by default the learning rate.
            y: Vertical axis; by default the weight decay.
            rest: What other hyperparameters are reduced to: ``best`` (by validation) or ``mean``.
            at: Values of other hyperparameters to fix, by name.

        Raises:
            ProblemError: There is no such axis or value, or the search is not a grid.
        """
        from service.sensitivity.figures import FigureData

        fixed = [f"{name}={json.dumps(value)}" for name, value in (at or {}).items()]
        options = {"metric": metric, "split": split, "x": x, "y": y, "rest": rest, "at": fixed}
        return self._get("/heatmap", FigureData.model_validate_json, **options)

    def _send_command(self, name: str, **params: Any) -> Operation[S]:
        return Operation("POST", self._path(f"/{name}"), self._update, params)

    def _extension(self, specification: Specification, read: Any, **params: Any) -> Operation[Any]:
        """A request with a specification of more trials; the same one twice changes nothing."""
        headers = {"Content-Type": YAML, "Idempotency-Key": uuid.uuid4().hex}
        path, content = self._path("/extend"), body_of(specification)
        return Operation("POST", path, read, params, content, headers)

    def _get(self, path: str, read: Any, **params: Any) -> Operation[Any]:
        return Operation("GET", self._path(path), read, params)

    def _path(self, path: str) -> str:
        return f"{_ROOT}/{self.sweep_id}{path}"

    def _update(self, content: bytes) -> S:
        self.detail = SweepDetail.model_validate_json(content)
        return cast(S, self)


def _summary_params(
    target: float | None,
    epsilon: float | None,
    gradient_evaluations: Budget | None,
    optimizers: Iterable[str],
) -> Mapping[str, Any]:
    """The query parameters of a summary."""
    return {
        "target": target,
        "epsilon": epsilon,
        "gradient_evaluations": gradient_evaluations,
        "optimizer": list(optimizers),
    }


def _frame(content: bytes) -> DataFrame:
    """The data frame of a CSV of trials; keys stay text."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("to_pandas needs pandas: pip install pandas") from error
    return pd.read_csv(io.BytesIO(content), dtype={"key": str})
