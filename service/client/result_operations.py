"""Operations on the results of one sweep: summaries, figures, report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from service.client.figure import Figure
from service.client.operations import Operation, endpoint
from service.sweeps.schemas import SweepDetail

if TYPE_CHECKING:  # importing them takes a second: only where they are needed
    from service.sensitivity import FigureData, SweepSummary
    from service.sensitivity.schemas import FigureView
    from service.sensitivity.sweep_summary import Budget

__all__ = ["ResultOperations"]

FigureOption = str | Sequence[str] | None
"""Value of an option of a figure; a list repeats the query parameter."""

_ROOT = "/api/v1/sweeps"


class ResultOperations:
    """Operations on the results of one sweep, described once for both clients.

    Attributes:
        detail: State and specification as of the last response; ``refresh`` updates them.
    """

    detail: SweepDetail

    @property
    def sweep_id(self) -> str:
        """Id of the sweep."""
        return self.detail.sweep_id

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

    def _get(self, path: str, read: Any, **params: Any) -> Operation[Any]:
        return Operation("GET", self._path(path), read, params)

    def _path(self, path: str) -> str:
        return f"{_ROOT}/{self.sweep_id}{path}"


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
