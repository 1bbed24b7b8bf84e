"""Finds the service a command speaks to, and the sweep it speaks of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from service.cli.failures import CliError
from service.cli.options import LATEST

if TYPE_CHECKING:
    from service.client import Client, Sweep

__all__ = ["connect", "find_sweep", "service_address"]


@contextmanager
def connect(url: str | None) -> Iterator[Client]:
    """A client of the service at ``url``, or of the one on this machine."""
    from service.client import Client

    with Client(url or service_address()) as client:
        yield client


def service_address() -> str:
    """Address of this machine's service: the port that was set, or that it remembers."""
    from service.embedded.children import reachable
    from service.settings import Settings

    settings = Settings()
    port = settings.port
    if "port" not in settings.model_fields_set:
        with suppress(OSError, ValueError, TypeError, KeyError):  # it never ran here
            port = json.loads((settings.home / "ports.json").read_text())["service"]
    return f"http://{reachable(settings.host)}:{port}"


def find_sweep(client: Client, sweep_id: str) -> Sweep:
    """The sweep of that id, or the latest one.

    Raises:
        CliError: There is no latest sweep.
    """
    if sweep_id == LATEST:
        newest = next(client.sweeps.browse(page_size=1), None)
        if newest is None:
            raise CliError(
                "there is no sweep yet; submit one, such as `sasam submit --preset digits`"
            )
        sweep_id = newest.sweep_id
    return client.sweeps.get(sweep_id)
