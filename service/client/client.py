"""The clients: one service and what it offers."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from pydantic import TypeAdapter

from service.client.access import address, credentials
from service.client.calls import Awaiting, Blocking, Call, endpoint
from service.client.sweeps import AsyncSweeps, Sweeps
from service.client.transport import AsyncTransport, Transport
from service.client.views import Catalog, Preset, Repaired

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T", Transport, AsyncTransport)

_API = "/api/v1"


class _Service(Generic[T]):
    """What can be asked of a service as a whole, over either transport."""

    _over: type[T]
    _transport: T

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | None = None,
        timeout_seconds: float = 30.0,
        patience_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = self._over(
            address(base_url),
            timeout_seconds=timeout_seconds,
            patience_seconds=patience_seconds,
            headers={**credentials(token), **(headers or {})},
        )

    @property
    def base_url(self) -> str:
        """Address of the service, without a slash at its end."""
        return self._transport.exchanges.base_url

    @endpoint
    def catalog(self) -> Call[Catalog]:
        """Optimizers, models, data sets, corruptions and metrics."""
        return Call("GET", f"{_API}/catalog", Catalog.model_validate_json)

    @endpoint
    def presets(self) -> Call[list[Preset]]:
        """Specifications to start from."""
        return Call("GET", f"{_API}/presets", TypeAdapter(list[Preset]).validate_json)

    @endpoint
    def preset(self, name: str) -> Call[Preset]:
        """One specification to start from.

        Raises:
            ProblemError: There is none of that name; the message lists those there are.
        """
        return Call("GET", f"{_API}/presets/{name}", Preset.model_validate_json)

    @endpoint
    def repair(self) -> Call[Repaired]:
        """Restore the sweeps that only MLflow knows; for administrators."""
        return Call("POST", f"{_API}/repair", Repaired.model_validate_json)


class Client(_Service[Transport], Blocking):
    """A service over HTTP.

    Requests that may be sent twice are, when an answer is lost or the service is restarting.

    Args:
        base_url: Its address; by default ``SASAM_URL``, or this machine's.
        token: Shown with every request; by default ``SASAM_TOKEN``, or what is in the file
            ``SASAM_TOKEN_FILE``.
        timeout_seconds: Longest silence within one request.
        patience_seconds: How long a request is repeated before it fails.
        headers: Sent with every request.

    Raises:
        UnreachableError: ``base_url`` is no address.
        TokenFileError: The token cannot be read.
    """

    _over = Transport
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


class AsyncClient(_Service[AsyncTransport], Awaiting):
    """What ``Client`` is, for an event loop: the same calls, awaited."""

    _over = AsyncTransport
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
