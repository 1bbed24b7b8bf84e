"""What can be asked of one sweep, described once for both clients."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter

from service.client.calls import Call, Listing, endpoint, listing
from service.client.errors import MissingPackageError
from service.client.figure import Figure
from service.client.views import Repaired
from service.sweeps.schemas import Progress, SweepDetail
from service.sweeps.states import SweepState
from service.trials.schemas import TrialDetail, TrialPage, TrialView

if TYPE_CHECKING:  # they draw, which takes a second to import
    from pandas import DataFrame

    from service.sensitivity import FigureData, SweepSummary
    from service.sensitivity.schemas import FigureView
    from service.sensitivity.sweep_summary import Budget

__all__ = ["SweepCalls"]

S = TypeVar("S")

_ROOT = "/api/v1/sweeps"
_PAGE = 1000


class SweepCalls(Generic[S]):
    """What can be asked of a sweep.

    Attributes:
        detail: What the service last said of it; ``refresh`` asks again.
    """

    detail: SweepDetail

    def __repr__(self) -> str:
        """Id, state and progress."""
        done = f"{self.progress.ended}/{self.progress.total} trials"
        kind = type(self).__name__
        return f"<{kind} {self.sweep_id} {self.detail.name!r} {self.state}, {done}>"

    @property
    def sweep_id(self) -> str:
        """Its id."""
        return self.detail.sweep_id

    @property
    def state(self) -> SweepState:
        """Its state when last asked."""
        return self.detail.state

    @property
    def progress(self) -> Progress:
        """Its trials when last asked."""
        return self.detail.progress

    @endpoint
    def refresh(self) -> Call[S]:
        """Ask for its present state."""
        return self._get("", self._take)

    @endpoint
    def pause(self) -> Call[S]:
        """Stop the trials; ``resume`` goes on from their checkpoints."""
        return self._command("pause")

    @endpoint
    def resume(self, *, force: bool = False) -> Call[S]:
        """Queue it again after a pause.

        Args:
            force: Even though the code is not that of the trials that have ended.
        """
        return self._command("resume", force=force or None)

    @endpoint
    def cancel(self) -> Call[S]:
        """End it; what has finished stays."""
        return self._command("cancel")

    @endpoint
    def retry_failed(self, *, force: bool = False) -> Call[S]:
        """Run the failed, cancelled and missing trials of the ended sweep again.

        Args:
            force: Even though the code is not that of the trials that have ended.
        """
        return self._command("retry-failed", force=force or None)

    @endpoint
    def delete(self) -> Call[None]:
        """Forget the ended sweep; its MLflow runs stay."""
        return Call("DELETE", self._path(""), lambda _: None)

    @endpoint
    def repair(self) -> Call[Repaired]:
        """Read its trials again from MLflow; for administrators."""
        return Call("POST", self._path("/repair"), Repaired.model_validate_json)

    @listing
    def trials(self, *, status: str | None = None) -> Listing[TrialView]:
        """Its trials in the order of the specification.

        Args:
            status: Only those: an outcome, ``running`` or ``pending``.
        """

        def read(content: bytes) -> tuple[list[TrialView], str | None]:
            page = TrialPage.model_validate_json(content)
            return page.trials, page.next_cursor

        return Listing(self._path("/trials"), read, {"status": status, "limit": _PAGE})

    @endpoint
    def trial(self, key: str) -> Call[TrialDetail]:
        """One trial with its configuration, learning curves and, when it failed, its traceback."""
        return self._get(f"/trials/{key}", TrialDetail.model_validate_json)

    @endpoint
    def trials_csv(self) -> Call[str]:
        """All trials, one row each, one column a metric."""
        return self._get("/trials.csv", bytes.decode)

    @endpoint
    def to_pandas(self) -> Call[DataFrame]:
        """All trials as a data frame: configuration, status and metrics, a row each.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return self._get("/trials.csv", _frame)

    @endpoint
    def logs(
        self, trial: str | None = None, *, attempt: int | None = None, tail: int | None = None
    ) -> Call[str]:
        """What its drivers printed, or an ended trial logged; the end of it.

        Args:
            trial: Key of a trial.
            attempt: Only of this driver.
            tail: At most so many lines of each.
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
    ) -> Call[SweepSummary]:
        """How much each optimizer depends on tuning.

        Args:
            target: Accuracy for ``trials_to_target``.
            epsilon: Accuracy below the best that counts as near-optimal.
            gradient_evaluations: Cut every trial at this budget, or at the largest one that
                every optimizer spent (``"equal"``).
            optimizers: Labels; all where empty.

        Raises:
            ProblemError: No trial has finished yet, or an option is out of range.
        """
        from service.sensitivity.schemas import SweepSummary

        asked = _asked(target, epsilon, gradient_evaluations, optimizers)
        return self._get("/summary", SweepSummary.model_validate_json, **asked)

    @endpoint
    def summary_text(
        self,
        file_format: str,
        *,
        target: float | None = None,
        epsilon: float | None = None,
        gradient_evaluations: Budget | None = None,
        optimizers: Iterable[str] = (),
    ) -> Call[str]:
        """The summary as ``csv`` or ``latex``; the options are those of ``summary``."""
        asked = _asked(target, epsilon, gradient_evaluations, optimizers)
        return self._get("/summary", bytes.decode, format=file_format, **asked)

    @endpoint
    def report(self, *, theme: str = "light") -> Call[str]:
        """Summary, caveats, comparisons and all figures as one HTML page."""
        return self._get("/report.html", bytes.decode, theme=theme)

    @endpoint
    def figures(self) -> Call[list[FigureView]]:
        """The figures there are and the options each takes."""
        from service.sensitivity.schemas import FigureView

        return self._get("/figures", TypeAdapter(list[FigureView]).validate_json)

    @endpoint
    def figure(self, /, name: str, **options: str | None) -> Call[Figure]:
        """A figure that a notebook shows and that can be saved.

        Args:
            name: Such as ``accuracy-heatmap``, ``trace-heatmap``, ``best``, ``lr-curves``.
            options: ``theme``, ``gradient_evaluations``, and what ``figures`` lists, such as
                ``metric`` and ``split``.

        Raises:
            ProblemError: There is no such figure, or the trials cannot show it (yet).
        """
        return self._get(f"/figures/{name}", Figure.read, **{**options, "format": "vega-lite"})

    @endpoint
    def figure_file(
        self, /, name: str, file_format: str = "svg", **options: str | None
    ) -> Call[bytes]:
        """A figure as ``svg``, ``png``, ``vega-lite``, or its data as ``json`` or ``csv``."""
        return self._get(f"/figures/{name}", bytes, **{**options, "format": file_format})

    @endpoint
    def figure_data(self, /, name: str, **options: str | None) -> Call[FigureData]:
        """The data of a figure."""
        from service.sensitivity.figures import FigureData

        return self._get(f"/figures/{name}", FigureData.model_validate_json, **options)

    @endpoint
    def heatmap(self, metric: str, *, split: str | None = None) -> Call[FigureData]:
        """A metric over learning rates and weight decays: ``ood_accuracy``, ``hessian_trace``."""
        from service.sensitivity.figures import FigureData

        return self._get("/heatmap", FigureData.model_validate_json, metric=metric, split=split)

    def _command(self, name: str, **params: Any) -> Call[S]:
        return Call("POST", self._path(f"/{name}"), self._take, params)

    def _get(self, path: str, read: Any, **params: Any) -> Call[Any]:
        return Call("GET", self._path(path), read, params)

    def _path(self, path: str) -> str:
        return f"{_ROOT}/{self.sweep_id}{path}"

    def _take(self, content: bytes) -> S:
        self.detail = SweepDetail.model_validate_json(content)
        return cast(S, self)


def _asked(
    target: float | None,
    epsilon: float | None,
    gradient_evaluations: Budget | None,
    optimizers: Iterable[str],
) -> Mapping[str, Any]:
    """The query of a summary."""
    return {
        "target": target,
        "epsilon": epsilon,
        "gradient_evaluations": gradient_evaluations,
        "optimizer": list(optimizers),
    }


def _frame(content: bytes) -> DataFrame:
    """A data frame of the trials' CSV; keys stay text."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("to_pandas needs pandas: pip install pandas") from error
    return pd.read_csv(io.BytesIO(content), dtype={"key": str})
