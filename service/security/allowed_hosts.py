"""Check of the ``Host`` header against the names of this service.

The owner of another site can point its name at this machine's address (DNS rebinding). Browsers
then treat this service as part of that site, and its pages may read the responses. Such a request
has the name of that site in ``Host``. An address in ``Host`` cannot be rebound.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from service.security.errors import MisdirectedProblem

__all__ = ["require_known_host", "without_port"]

_ANY = "*"
_THIS_MACHINE = "localhost"


def require_known_host(host: str | None, listening: str | None, allowed: Iterable[str]) -> None:
    """Accept a request whose ``Host`` is an address or a name of this service.

    Args:
        host: The ``Host`` header; None if missing.
        listening: The address that received the request.
        allowed: Names besides ``localhost``; ``*`` allows every name.

    Raises:
        MisdirectedProblem: ``Host`` is another name.
    """
    name = without_port(host or "").lower()
    known = {_THIS_MACHINE, *(entry.lower() for entry in allowed)}
    if name in known or _ANY in known or (listening and name == listening) or _is_address(name):
        return
    names = sorted(known)
    raise MisdirectedProblem(
        f"this service is not called {name[:80]!r} (its names are {', '.join(names)}; the operator "
        "adds names in SASAM_ALLOWED_HOSTS)",
        code="unknown-host",
        allowed=names,
    )


def without_port(host: str) -> str:
    """The name or address in a ``Host`` header, without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
