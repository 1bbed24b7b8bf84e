"""The client: one service and what it offers."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from service.client.sweeps import Sweeps
from service.client.transport import Transport
from service.client.views import Catalog, Preset

__all__ = ["Client"]


class Client:
    """A service over HTTP.

    Requests that may be sent twice are, when an answer is lost or the service is restarting.

    Args:
        base_url: Its address.
        timeout_seconds: Longest silence within one request.
        patience_seconds: How long a request is repeated before it fails.
        headers: Sent with every request, such as ``Authorization``.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8420",
        *,
        timeout_seconds: float = 30.0,
        patience_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = Transport(
            base_url,
            timeout_seconds=timeout_seconds,
            patience_seconds=patience_seconds,
            headers=headers or {},
        )
        self.sweeps = Sweeps(self._transport)
        """Submit, look up and command sweeps."""

    @property
    def base_url(self) -> str:
        """Address of the service, without a slash at its end."""
        return self._transport.base_url

    def catalog(self) -> Catalog:
        """Optimizers, models, data sets, corruptions and metrics."""
        return Catalog.model_validate_json(self._get("catalog"))

    def presets(self) -> list[Preset]:
        """Specifications to start from."""
        return TypeAdapter(list[Preset]).validate_json(self._get("presets"))

    def preset(self, name: str) -> Preset:
        """One specification to start from.

        Raises:
            ProblemError: There is none of that name; the message lists those there are.
        """
        return Preset.model_validate_json(self._get(f"presets/{name}"))

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

    def _get(self, path: str) -> bytes:
        return self._transport.request("GET", f"/api/v1/{path}").content
