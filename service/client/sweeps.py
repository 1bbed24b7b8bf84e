"""``Sweeps`` and ``AsyncSweeps``: submit, estimate, look up and compare sweeps."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from service.client.figure import Figure
from service.client.operations import (
    AsyncOperations,
    BlockingOperations,
    Operation,
    PagedOperation,
    endpoint,
    paged_endpoint,
)
from service.client.specifications import YAML, Specification, body_of
from service.client.sweep import AsyncSweep, Sweep
from service.client.transport import AsyncTransport, Transport
from service.states import SweepState
from service.sweeps.schemas import DryRunView, SweepDetail, SweepPage, SweepView

if TYPE_CHECKING:  # importing them takes a second: only where they are needed
    from service.sensitivity import SweepComparison

__all__ = ["AsyncSweeps", "Sweeps"]

S = TypeVar("S", Sweep, AsyncSweep)

Archived = Literal["no", "only", "all"]
Listed = list[SweepView]  # a name of its own, because `list` is a method of the class

_ROOT = "/api/v1/sweeps"


class _SweepsOperations(Generic[S]):
    """Operations on the sweeps of a service, described once for both clients."""

    @endpoint
    def submit(
        self,
        specification: Specification,
        *,
        reuse: bool = False,
        idempotency_key: str | None = None,
    ) -> Operation[S]:
        """Submit a sweep.

        Python files that it names, such as ``./my_optimizer.py:MyOpt``, are sent along: from the
        folder of its file, or else from the working directory.

        Args:
            specification: What to run: a model, plain data, a file, or YAML or JSON text.
            reuse: Take over trials that other sweeps have computed with the same code, libraries,
                kind of device and data, as ``reuse: true`` in the specification does.
            idempotency_key: Submitting the same specification with the same key again returns the
                same sweep. By default a new key, so that a lost response is safe to retry.

        Raises:
            ProblemError: The specification is invalid (``errors`` has the paths), or the key was
                used with another specification.
            SpecError: A Python file that it names cannot be read, or is not Python.
        """
        headers = {"Content-Type": YAML, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        content = body_of(specification, reuse=reuse)
        return Operation("POST", _ROOT, self._read, content=content, headers=headers)

    @endpoint
    def estimate(self, specification: Specification) -> Operation[DryRunView]:
        """Estimate the cost of a sweep without submitting it.

        Raises:
            ProblemError: The specification is invalid.
        """
        return Operation(
            "POST",
            _ROOT,
            DryRunView.model_validate_json,
            {"dry_run": True},
            body_of(specification),
            {
                "Content-Type": YAML,
                "Idempotency-Key": uuid.uuid4().hex,
            },  # makes the request repeatable
        )

    @endpoint
    def get(self, sweep_id: str) -> Operation[S]:
        """The sweep with the given id.

        Raises:
            ProblemError: There is no such sweep.
        """
        return Operation("GET", f"{_ROOT}/{sweep_id}", self._read)

    @paged_endpoint
    def browse(
        self,
        *,
        states: Iterable[SweepState] = (),
        name: str | None = None,
        text: str | None = None,
        creator: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        tags: Iterable[str] = (),
        archived: Archived = "no",
        page_size: int = 50,
    ) -> PagedOperation[SweepView]:
        """Sweeps, newest first, one page per request.

        Args:
            states: Only sweeps in these states; empty for all states.
            name: Only sweeps with this name.
            text: Only sweeps with this in their name, or at the beginning of their id.
            creator: Only sweeps submitted with the token of this name.
            model: Only sweeps of this model.
            dataset: Only sweeps of this data set.
            tags: Only sweeps with these tags, each ``name=value``, or ``name`` for any value.
            archived: Whether to list archived sweeps too, or them alone.
            page_size: Sweeps per page, at most 200.
        """
        params = _selection(states, name, text, creator, model, dataset, tags, archived, page_size)

        def read(content: bytes) -> tuple[Listed, str | None]:
            page = SweepPage.model_validate_json(content)
            return page.sweeps, page.next_cursor

        return PagedOperation(_ROOT, read, params)

    @endpoint
    def list(
        self,
        *,
        limit: int = 50,
        states: Iterable[SweepState] = (),
        name: str | None = None,
        text: str | None = None,
        creator: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        tags: Iterable[str] = (),
        archived: Archived = "no",
    ) -> Operation[Listed]:
        """The newest sweeps as a list; `browse` reads any number of them, page by page.

        Args:
            limit: Largest number of sweeps, at most 200.
            states: Only sweeps in these states; empty for all states.
            name: Only sweeps with this name.
            text: Only sweeps with this in their name, or at the beginning of their id.
            creator: Only sweeps submitted with the token of this name.
            model: Only sweeps of this model.
            dataset: Only sweeps of this data set.
            tags: Only sweeps with these tags, each ``name=value``, or ``name`` for any value.
            archived: Whether to list archived sweeps too, or them alone.

        Raises:
            ProblemError: ``limit`` is out of range.
        """
        params = _selection(states, name, text, creator, model, dataset, tags, archived, limit)
        return Operation(
            "GET", _ROOT, lambda body: SweepPage.model_validate_json(body).sweeps, params
        )

    @endpoint
    def compare(
        self, sweep_ids: Iterable[str], *, epsilon: float | None = None
    ) -> Operation[SweepComparison]:
        """Compare sweeps of the same grid on different models, data sets or code versions.

        Args:
            sweep_ids: Ids of at least two sweeps.
            epsilon: Difference from the best score of a sweep up to which a trial counts as
                near-optimal; by default 0.01 of accuracy, 0.05 nats of loss.

        Raises:
            ProblemError: There is no such sweep, or one of them has no finished trial yet.
        """
        from service.sensitivity import SweepComparison

        params = {"sweeps": ",".join(sweep_ids), "epsilon": epsilon}
        return Operation("GET", "/api/v1/compare", SweepComparison.model_validate_json, params)

    @endpoint
    def comparison_figure(
        self, /, sweep_ids: Iterable[str], name: str, **options: str | None
    ) -> Operation[Figure]:
        """A figure of several sweeps.

        Args:
            sweep_ids: At least two.
            name: ``side-by-side``, ``learning-rates``, ``performance-profiles`` or
                ``sensitivity-plane``.
            options: ``theme`` and ``epsilon``.

        Raises:
            ProblemError: There is no such figure or sweep, or the sweeps lack the data for it.
        """
        params = {**options, "sweeps": ",".join(sweep_ids), "format": "vega-lite"}
        return Operation("GET", f"/api/v1/compare/figures/{name}", Figure.read, params)

    @endpoint
    def comparison_figure_file(
        self,
        /,
        sweep_ids: Iterable[str],
        name: str,
        file_format: str = "svg",
        **options: str | None,
    ) -> Operation[bytes]:
        """A figure of several sweeps in one of the formats of ``Sweep.figure_file``."""
        params = {**options, "sweeps": ",".join(sweep_ids), "format": file_format}
        return Operation("GET", f"/api/v1/compare/figures/{name}", bytes, params)

    def _read(self, content: bytes) -> S:
        return self._sweep(SweepDetail.model_validate_json(content))

    def _sweep(self, detail: SweepDetail) -> S:
        raise NotImplementedError


class Sweeps(_SweepsOperations[Sweep], BlockingOperations):
    """The sweeps of a service."""

    _transport: Transport

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _sweep(self, detail: SweepDetail) -> Sweep:
        return Sweep(self._transport, detail)


class AsyncSweeps(_SweepsOperations[AsyncSweep], AsyncOperations):
    """The sweeps of a service, for an event loop."""

    _transport: AsyncTransport

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def _sweep(self, detail: SweepDetail) -> AsyncSweep:
        return AsyncSweep(self._transport, detail)


def _selection(
    states: Iterable[SweepState],
    name: str | None,
    text: str | None,
    creator: str | None,
    model: str | None,
    dataset: str | None,
    tags: Iterable[str],
    archived: Archived,
    limit: int,
) -> dict[str, Any]:
    """The query parameters of a list of sweeps."""
    return {
        "state": list(states),
        "name": name,
        "q": text,
        "creator": creator,
        "model": model,
        "dataset": dataset,
        "tag": list(tags) or None,
        "archived": archived,
        "limit": limit,
    }
