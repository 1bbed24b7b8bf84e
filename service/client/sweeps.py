"""The sweeps of a service: submit, estimate, look up, compare."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from service.client.calls import Awaiting, Blocking, Call, Listing, endpoint, listing
from service.client.figure import Figure
from service.client.sweep import AsyncSweep, Sweep
from service.client.transport import AsyncTransport, Transport
from service.sweeps.schemas import DryRunView, SweepDetail, SweepPage, SweepView
from service.sweeps.states import SweepState

if TYPE_CHECKING:  # imported where they are needed, and only then
    from service.sensitivity import SweepComparison
    from workers.spec import SweepSpec

__all__ = ["AsyncSweeps", "Specification", "Sweeps"]

Specification: TypeAlias = "SweepSpec | Mapping[str, Any] | Path | str"
"""A specification: as a model, as plain data, as a file, or as YAML or JSON text."""

S = TypeVar("S", Sweep, AsyncSweep)

_ROOT = "/api/v1/sweeps"
_YAML = "application/yaml"


class _SweepsCalls(Generic[S]):
    """What can be asked of the sweeps of a service."""

    @endpoint
    def submit(
        self, specification: Specification, *, idempotency_key: str | None = None
    ) -> Call[S]:
        """Submit a sweep.

        Args:
            specification: What to run: a model, plain data, a file, or YAML or JSON text.
            idempotency_key: The same key with the same specification is the same sweep. Without
                one a key is made up for this call, so that it is safe when its answer is lost.

        Raises:
            ProblemError: The specification is invalid (``errors`` says where), or the key belongs
                to another one.
        """
        headers = {"Content-Type": _YAML, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Call("POST", _ROOT, self._read, content=_text(specification), headers=headers)

    @endpoint
    def estimate(self, specification: Specification) -> Call[DryRunView]:
        """What a sweep would cost, without submitting it.

        Raises:
            ProblemError: The specification is invalid.
        """
        return Call(
            "POST",
            _ROOT,
            DryRunView.model_validate_json,
            {"dry_run": True},
            _text(specification),
            {"Content-Type": _YAML, "Idempotency-Key": uuid.uuid4().hex},  # may be sent twice
        )

    @endpoint
    def get(self, sweep_id: str) -> Call[S]:
        """The sweep of that id.

        Raises:
            ProblemError: There is none.
        """
        return Call("GET", f"{_ROOT}/{sweep_id}", self._read)

    @listing
    def browse(
        self, *, states: Iterable[SweepState] = (), name: str | None = None, page_size: int = 50
    ) -> Listing[SweepView]:
        """Sweeps, newest first, a page a request.

        Args:
            states: Only sweeps in these states; all where empty.
            name: Only sweeps of this name.
            page_size: Sweeps a request, at most 200.
        """

        def read(content: bytes) -> tuple[list[SweepView], str | None]:
            page = SweepPage.model_validate_json(content)
            return page.sweeps, page.next_cursor

        return Listing(_ROOT, read, {"state": list(states), "name": name, "limit": page_size})

    @endpoint
    def compare(
        self, sweep_ids: Iterable[str], *, epsilon: float | None = None
    ) -> Call[SweepComparison]:
        """Sweeps side by side: the same grid on other models, data or code versions.

        Args:
            sweep_ids: At least two.
            epsilon: Accuracy below a sweep's best that counts as reaching it.

        Raises:
            ProblemError: There is no such sweep, or one has no finished trial yet.
        """
        from service.sensitivity import SweepComparison

        params = {"sweeps": ",".join(sweep_ids), "epsilon": epsilon}
        return Call("GET", "/api/v1/compare", SweepComparison.model_validate_json, params)

    @endpoint
    def comparison_figure(
        self, /, sweep_ids: Iterable[str], name: str, **options: str | None
    ) -> Call[Figure]:
        """A figure of several sweeps: ``side-by-side`` or ``performance-profiles``.

        Raises:
            ProblemError: There is no such figure or sweep, or they cannot show it.
        """
        params = {**options, "sweeps": ",".join(sweep_ids), "format": "vega-lite"}
        return Call("GET", f"/api/v1/compare/figures/{name}", Figure.read, params)

    @endpoint
    def comparison_figure_file(
        self,
        /,
        sweep_ids: Iterable[str],
        name: str,
        file_format: str = "svg",
        **options: str | None,
    ) -> Call[bytes]:
        """A figure of several sweeps in one of the formats of ``Sweep.figure_file``."""
        params = {**options, "sweeps": ",".join(sweep_ids), "format": file_format}
        return Call("GET", f"/api/v1/compare/figures/{name}", bytes, params)

    def _read(self, content: bytes) -> S:
        return self._made(SweepDetail.model_validate_json(content))

    def _made(self, detail: SweepDetail) -> S:
        raise NotImplementedError


class Sweeps(_SweepsCalls[Sweep], Blocking):
    """The sweeps of a service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _made(self, detail: SweepDetail) -> Sweep:
        return Sweep(self._transport, detail)


class AsyncSweeps(_SweepsCalls[AsyncSweep], Awaiting):
    """The sweeps of a service, for an event loop."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def _made(self, detail: SweepDetail) -> AsyncSweep:
        return AsyncSweep(self._transport, detail)


def _text(specification: Specification) -> str:
    """A specification as the service reads it."""
    match specification:
        case str():
            return specification
        case Path():
            return specification.read_text()
        case Mapping():
            return json.dumps(specification)
        case _:
            return specification.model_dump_json()
