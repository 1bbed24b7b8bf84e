"""Sweeps through the client: the collection, and one sweep with all that can be asked of it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from service.client.errors import WaitTimeoutError
from service.client.transport import Transport
from service.sweeps.lifecycle import TERMINAL, SweepState
from service.sweeps.schemas import DryRunView, Progress, SweepDetail, SweepPage, SweepView
from service.trials.schemas import TrialDetail, TrialPage, TrialView
from workers.spec import SweepSpec

if TYPE_CHECKING:  # they draw, which takes a second to import
    from service.summaries import FigureData, SweepComparison, SweepSummary
    from service.summaries.schemas import FigureView
    from service.summaries.summary import Budget

__all__ = ["Specification", "Sweep", "Sweeps"]

Specification = SweepSpec | Mapping[str, Any] | Path | str
"""A specification: as a model, as plain data, as a file, or as YAML or JSON text."""

_ROOT = "/api/v1/sweeps"


class Sweeps:
    """The sweeps of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(self, specification: Specification, *, idempotency_key: str | None = None) -> Sweep:
        """Submit a sweep.

        Args:
            specification: What to run.
            idempotency_key: The same key with the same specification is the same sweep. Without
                one a key is made up for this call, so that it is safe when its answer is lost.

        Raises:
            ProblemError: The specification is invalid (``errors`` says where), or the key belongs
                to another one.
        """
        headers = {
            "Content-Type": "application/yaml",
            "Idempotency-Key": idempotency_key or uuid.uuid4().hex,
        }
        response = self._transport.request(
            "POST", _ROOT, content=_text(specification), headers=headers
        )
        return Sweep(self._transport, SweepDetail.model_validate_json(response.content))

    def estimate(self, specification: Specification) -> DryRunView:
        """What a sweep would cost, without submitting it.

        Raises:
            ProblemError: The specification is invalid.
        """
        response = self._transport.request(
            "POST",
            _ROOT,
            params={"dry_run": True},
            content=_text(specification),
            headers={"Content-Type": "application/yaml"},
        )
        return DryRunView.model_validate_json(response.content)

    def get(self, sweep_id: str) -> Sweep:
        """The sweep of that id.

        Raises:
            ProblemError: There is none.
        """
        response = self._transport.request("GET", f"{_ROOT}/{sweep_id}")
        return Sweep(self._transport, SweepDetail.model_validate_json(response.content))

    def browse(
        self, *, states: Iterable[SweepState] = (), name: str | None = None, page_size: int = 50
    ) -> Iterator[SweepView]:
        """Sweeps, newest first, a page a request.

        Args:
            states: Only sweeps in these states; all where empty.
            name: Only sweeps of this name.
            page_size: Sweeps a request, at most 200.
        """
        params: dict[str, Any] = {"state": list(states), "name": name, "limit": page_size}
        while True:
            response = self._transport.request("GET", _ROOT, params=params)
            page = SweepPage.model_validate_json(response.content)
            yield from page.sweeps
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor

    def compare(self, sweep_ids: Iterable[str], *, epsilon: float | None = None) -> SweepComparison:
        """Sweeps side by side: the same grid on other models, data or code versions.

        Args:
            sweep_ids: At least two.
            epsilon: Accuracy below a sweep's best that counts as reaching it.

        Raises:
            ProblemError: There is no such sweep, or one has no finished trial yet.
        """
        from service.summaries import SweepComparison

        params = {"sweeps": ",".join(sweep_ids), "epsilon": epsilon}
        response = self._transport.request("GET", "/api/v1/compare", params=params)
        return SweepComparison.model_validate_json(response.content)

    def comparison_figure(
        self, sweep_ids: Iterable[str], name: str, file_format: str = "svg", **options: str | None
    ) -> bytes:
        """A figure of several sweeps: ``side-by-side`` or ``performance-profiles``.

        Raises:
            ProblemError: There is no such figure or sweep, or they cannot show it.
        """
        params = {**options, "sweeps": ",".join(sweep_ids), "format": file_format}
        path = f"/api/v1/compare/figures/{name}"
        return self._transport.request("GET", path, params=params).content


class Sweep:
    """One sweep.

    Attributes:
        detail: What the service last said of it; ``refresh`` asks again.
    """

    def __init__(self, transport: Transport, detail: SweepDetail) -> None:
        self._transport = transport
        self.detail = detail

    def __repr__(self) -> str:
        """Id, state and progress."""
        done = f"{self.progress.ended}/{self.progress.total} trials"
        return f"<Sweep {self.sweep_id} {self.detail.name!r} {self.state}, {done}>"

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

    def refresh(self) -> Self:
        """Ask for its present state."""
        return self._take(self._get(""))

    def follow(self, *, poll_seconds: float = 1.0) -> Iterator[SweepDetail]:
        """Its state, now and again, until it has ended; the last one is of the ended sweep."""
        while True:
            yield self.refresh().detail
            if self.state in TERMINAL:
                return
            time.sleep(poll_seconds)

    def wait(self, timeout_seconds: float | None = None, *, poll_seconds: float = 1.0) -> Self:
        """Wait until it has ended, however it did: see ``state``.

        Raises:
            WaitTimeoutError: It has not ended in time.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for detail in self.follow(poll_seconds=poll_seconds):
            is_late = deadline is not None and time.monotonic() + poll_seconds > deadline
            if is_late and detail.state not in TERMINAL:
                raise WaitTimeoutError(
                    f"sweep {self.sweep_id} is {detail.state} after {timeout_seconds:g} s"
                )
        return self

    def pause(self) -> Self:
        """Stop the trials; ``resume`` goes on from their checkpoints."""
        return self._command("pause")

    def resume(self) -> Self:
        """Queue it again after a pause."""
        return self._command("resume")

    def cancel(self) -> Self:
        """End it; what has finished stays."""
        return self._command("cancel")

    def retry_failed(self) -> Self:
        """Run the failed, cancelled and missing trials of the ended sweep again."""
        return self._command("retry-failed")

    def delete(self) -> None:
        """Forget the ended sweep; its MLflow runs stay."""
        self._transport.request("DELETE", self._path(""))

    def trials(self, *, status: str | None = None) -> Iterator[TrialView]:
        """Its trials in the order of the specification.

        Args:
            status: Only those: an outcome, ``running`` or ``pending``.
        """
        params: dict[str, Any] = {"status": status, "limit": 1000}
        while True:
            page = TrialPage.model_validate_json(self._get("/trials", params))
            yield from page.trials
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor

    def trial(self, key: str) -> TrialDetail:
        """One trial with its configuration, learning curves and, when it failed, its traceback."""
        return TrialDetail.model_validate_json(self._get(f"/trials/{key}"))

    def trials_csv(self) -> str:
        """All trials, one row each, one column a metric."""
        return self._get("/trials.csv").decode()

    def summary(
        self,
        *,
        target: float | None = None,
        epsilon: float | None = None,
        gradient_evaluations: Budget | None = None,
        optimizers: Iterable[str] = (),
    ) -> SweepSummary:
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
        from service.summaries.schemas import SweepSummary

        content = self._summary("json", target, epsilon, gradient_evaluations, optimizers)
        return SweepSummary.model_validate_json(content)

    def summary_text(
        self,
        file_format: str,
        *,
        target: float | None = None,
        epsilon: float | None = None,
        gradient_evaluations: Budget | None = None,
        optimizers: Iterable[str] = (),
    ) -> str:
        """The summary as ``csv`` or ``latex``; the options are those of ``summary``."""
        return self._summary(
            file_format, target, epsilon, gradient_evaluations, optimizers
        ).decode()

    def report(self, *, theme: str = "light") -> str:
        """Summary, caveats, comparisons and all figures as one HTML page."""
        return self._get("/report.html", {"theme": theme}).decode()

    def figures(self) -> list[FigureView]:
        """The figures there are and the options each takes."""
        from service.summaries.schemas import FigureView

        return TypeAdapter(list[FigureView]).validate_json(self._get("/figures"))

    def figure(self, name: str, file_format: str = "svg", **options: str | None) -> bytes:
        """A figure as ``svg``, ``png``, ``vega-lite``, or its data as ``json`` or ``csv``.

        Args:
            name: Such as ``accuracy-heatmap``, ``trace-heatmap``, ``best``, ``lr-curves``.
            file_format: What to answer.
            options: ``theme``, ``gradient_evaluations``, and what ``figures`` lists, such as
                ``metric`` and ``split``.

        Raises:
            ProblemError: There is no such figure, or the trials cannot show it (yet).
        """
        return self._get(f"/figures/{name}", {**options, "format": file_format})

    def figure_data(self, name: str, **options: str | None) -> FigureData:
        """The data of a figure."""
        from service.summaries.figures import FigureData

        return FigureData.model_validate_json(self.figure(name, "json", **options))

    def heatmap(self, metric: str, *, split: str | None = None) -> FigureData:
        """A metric over learning rates and weight decays: ``ood_accuracy``, ``hessian_trace``."""
        return self.figure_data("heatmap", metric=metric, split=split)

    def _summary(
        self,
        file_format: str,
        target: float | None,
        epsilon: float | None,
        gradient_evaluations: Budget | None,
        optimizers: Iterable[str],
    ) -> bytes:
        params: dict[str, Any] = {
            "format": file_format,
            "target": target,
            "epsilon": epsilon,
            "gradient_evaluations": gradient_evaluations,
            "optimizer": list(optimizers),
        }
        return self._get("/summary", params)

    def _command(self, name: str) -> Self:
        response = self._transport.request("POST", self._path(f"/{name}"))
        return self._take(response.content)

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> bytes:
        return self._transport.request("GET", self._path(path), params=params).content

    def _path(self, path: str) -> str:
        return f"{_ROOT}/{self.sweep_id}{path}"

    def _take(self, content: bytes) -> Self:
        self.detail = SweepDetail.model_validate_json(content)
        return self


def _text(specification: Specification) -> str:
    """A specification as the service reads it."""
    match specification:
        case str():
            return specification
        case Path():
            return specification.read_text()
        case SweepSpec():
            return specification.model_dump_json()
        case _:
            return json.dumps(specification)
