"""Finds the service a command speaks to, and the sweep it speaks of."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.failures import CliError, ExitStatus
from service.cli.options import LATEST
from service.cli.output import echo

if TYPE_CHECKING:
    from service.client import Client, Sweep

__all__ = ["connect", "find_sweep", "service_address"]

_LOOPBACK = "127.0.0.1"
_EVERY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104 - nothing is bound here
_PORT = 8420
_PORTS = range(2**16)


@contextmanager
def connect(url: str | None) -> Iterator[Client]:
    """A client of the service at ``url``, or of the one on this machine."""
    from service.client import Client, VersionWarning

    with warnings.catch_warnings(), Client(url or service_address()) as client:
        warnings.simplefilter("always", VersionWarning)
        warnings.showwarning = _show_warning
        yield client


def service_address() -> str:
    """Address of this machine's service: the port that was set, or that it remembers.

    Reads what ``Settings`` reads, without the quarter of a second that importing those takes.

    Raises:
        CliError: ``SASAM_PORT`` is no port.
    """
    host = os.environ.get("SASAM_HOST", _LOOPBACK)
    host = _LOOPBACK if host in _EVERY_ADDRESS else f"[{host}]" if ":" in host else host
    return f"http://{host}:{_port()}"


def _port() -> int:
    text = os.environ.get("SASAM_PORT")
    if text is None:
        home = os.environ.get("SASAM_HOME")
        folder = Path(home) if home is not None else Path.home() / ".sasam"
        with suppress(OSError, ValueError, TypeError, KeyError):  # it never ran here
            return int(json.loads((folder / "ports.json").read_text())["service"])
        return _PORT
    if not text.isdecimal() or int(text) not in _PORTS:
        raise CliError(
            f"a setting is invalid\n  SASAM_PORT: should be a port from 0 to 65535 (got {text!r})",
            ExitStatus.USAGE,
        )
    return int(text)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    echo(f"sasam: warning: {message}", err=True)


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
