"""Connection of a command to the service, and lookup of the sweep that it names."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cli.errors import CliError, ExitStatus
from service.cli.output import echo

if TYPE_CHECKING:
    from service.client import Client, Sweep

__all__ = ["LATEST", "connect", "find_sweep", "service_address"]

LATEST = "latest"
"""Stands for the newest sweep where a command takes the id of one."""

_ID = re.compile("[0-9a-f]{12}")
_MAX_MATCHES = 200
_MAX_LISTED = 5

_LOOPBACK = "127.0.0.1"
_ALL_INTERFACES = {"", "0.0.0.0", "::"}  # noqa: S104 - nothing is bound here
_DEFAULT_PORT = 8420
_PORTS = range(2**16)


@contextmanager
def connect(url: str | None) -> Iterator[Client]:
    """Open a client of the service at ``url``; None: the service of this machine."""
    from service.client import Client, VersionWarning

    with warnings.catch_warnings(), Client(url or service_address()) as client:
        warnings.simplefilter("always", VersionWarning)
        warnings.showwarning = _show_warning
        yield client


def service_address() -> str:
    """Return the address of this machine's service, from the settings or its stored ports.

    Reads the environment itself: importing ``Settings`` takes a quarter of a second.

    Raises:
        CliError: ``SASAM_PORT`` is not a port.
    """
    host = os.environ.get("SASAM_HOST", _LOOPBACK)
    host = _LOOPBACK if host in _ALL_INTERFACES else f"[{host}]" if ":" in host else host
    return f"http://{host}:{_port()}"


def _port() -> int:
    text = os.environ.get("SASAM_PORT")
    if text is None:
        home = os.environ.get("SASAM_HOME")
        folder = Path(home) if home is not None else Path.home() / ".sasam"
        with suppress(OSError, ValueError, TypeError, KeyError):  # no service has run here yet
            return int(json.loads((folder / "ports.json").read_text())["service"])
        return _DEFAULT_PORT
    if not text.isdecimal() or int(text) not in _PORTS:
        raise CliError(
            f"a setting is invalid\n  SASAM_PORT: should be a port from 0 to 65535 (got {text!r})",
            ExitStatus.USAGE,
        )
    return int(text)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    echo(f"sasam: warning: {message}", err=True)


def find_sweep(client: Client, reference: str) -> Sweep:
    """Return the sweep that a user means.

    Args:
        client: Client of the service.
        reference: Its id, the beginning of its id, its name, or ``latest`` for the newest sweep.

    Raises:
        CliError: No sweep matches, or several do; the message lists them.
    """
    if reference == LATEST:
        newest = next(client.sweeps.browse(page_size=1, archived="all"), None)
        if newest is None:
            raise CliError(
                "there is no sweep yet; submit one, such as `sasam submit --preset digits`"
            )
        return client.sweeps.get(newest.sweep_id)
    if _ID.fullmatch(reference):
        return client.sweeps.get(reference)
    near = list(islice(client.sweeps.browse(text=reference, archived="all"), _MAX_MATCHES))
    found = [
        sweep
        for sweep in near
        if sweep.name == reference or sweep.sweep_id.startswith(reference.lower())
    ]
    if len(found) == 1:
        return client.sweeps.get(found[0].sweep_id)
    listed = ", ".join(
        f"{sweep.sweep_id} ({sweep.name})" for sweep in (found or near)[:_MAX_LISTED]
    )
    if found:
        raise CliError(f"several sweeps match {reference[:64]!r}: {listed}")
    guess = f"; did you mean {listed}?" if near else ""
    raise CliError(f"no sweep {reference[:64]!r}{guess}")
