"""Comparison of the service's version with the client's, and errors of unreadable responses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import httpx

from service.client.errors import UnreadableError, VersionWarning

__all__ = ["VersionCheck"]

_HEADER = "Sasam-Version"


class VersionCheck:
    """The version of one service, as its responses state it.

    Args:
        base_url: Address of the service, for messages.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._service_version: str | None = None

    def compare(self, response: httpx.Response) -> None:
        """Warn once if the service has another major or minor version than this client."""
        service = response.headers.get(_HEADER)
        if service is None or service == self._service_version:
            return
        self._service_version = service
        client = version("sasam")
        if service.split(".")[:2] != client.split(".")[:2]:
            message = (
                f"the service at {self._base_url} is sasam {service}, this client {client}: "
                f"install the same version (pip install 'sasam=={service}')"
            )
            warnings.warn(message, VersionWarning, stacklevel=2)

    @contextmanager
    def reading(self, response: httpx.Response) -> Iterator[None]:
        """Name both versions when the block cannot read the response.

        Raises:
            UnreadableError: The block raised ValueError, as pydantic's validation does.
        """
        try:
            yield
        except ValueError as error:
            service = self._service_version or "another version"
            raise UnreadableError(
                f"this client cannot read the response of {response.request.url}; the service is "
                f"sasam {service}, the client {version('sasam')}: install the same version"
            ) from error
