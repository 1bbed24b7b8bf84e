"""``Client`` and ``AsyncClient``: the connection to one service."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from pydantic import TypeAdapter

from service.catalog import CatalogView, PresetView
from service.client.connection_settings import authorization_headers, service_address
from service.client.operations import (
    AsyncOperations,
    BlockingOperations,
    Operation,
    endpoint,
)
from service.client.sweeps import AsyncSweeps, Sweeps
from service.client.transport import AsyncTransport, Transport
from service.sweeps.schemas import RepairView

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T", Transport, AsyncTransport)

_API = "/api/v1"


class _Service(Generic[T]):
    """Operations on the service as a whole, over either transport."""

    _transport_class: type[T]
    _transport: T

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | None = None,
        timeout_seconds: float = 30.0,
        retry_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = self._transport_class(
            service_address(base_url),
            timeout_seconds=timeout_seconds,
            retry_seconds=retry_seconds,
            headers={**authorization_headers(token), **(headers or {})},
        )

    @property
    def base_url(self) -> str:
        """Address of the service, without a trailing slash."""
        return self._transport.base_url

    @endpoint
    def catalog(self) -> Operation[CatalogView]:
        """Optimizers, models, data sets, corruptions and metrics."""
        return Operation("GET", f"{_API}/catalog", CatalogView.model_validate_json)

    @endpoint
    def presets(self) -> Operation[list[PresetView]]:
        """Specifications to start from."""
        return Operation("GET", f"{_API}/presets", TypeAdapter(list[PresetView]).validate_json)

    @endpoint
    def preset(self, name: str) -> Operation[PresetView]:
        """One specification to start from.

        Raises:
            ProblemError: There is no such preset; the message lists those that exist.
        """
        return Operation("GET", f"{_API}/presets/{name}", PresetView.model_validate_json)

    @endpoint
    def repair(self) -> Operation[RepairView]:
        """Restore sweeps that only MLflow has a record of; for administrators."""
        return Operation("POST", f"{_API}/repair", RepairView.model_validate_json)


class Client(_Service[Transport], BlockingOperations):
    """A client of one service over HTTP.

    Requests that can safely be repeated are retried when a response is lost or the service
    restarts.

    Args:
        base_url: Address of the service; by default ``SASAM_URL``, else port 8420 of this machine.
        token: Token sent with every request; by default ``SASAM_TOKEN``, else the content of the
            file ``SASAM_TOKEN_FILE``.
        timeout_seconds: Longest silence within one request.
        retry_seconds: Longest time a request is retried before it fails.
        headers: Sent with every request.

    Raises:
        UnreachableError: ``base_url`` is not a URL.
        TokenFileError: The token cannot be read.
    """

    _transport_class = Transport
    _transport: Transport

    @property
    def sweeps(self) -> Sweeps:
        """Submit, look up and compare sweeps."""
        return Sweeps(self._transport)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_Service[AsyncTransport], AsyncOperations):
    """``Client`` for an event loop: the same methods, awaited."""

    _transport_class = AsyncTransport
    _transport: AsyncTransport

    @property
    def sweeps(self) -> AsyncSweeps:
        """Submit, look up and compare sweeps."""
        return AsyncSweeps(self._transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
