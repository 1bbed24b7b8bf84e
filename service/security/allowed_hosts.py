"""The names this service goes by.

A page of another site can make a browser take this service for a part of that site, by a name
server that answers with this machine's address (DNS rebinding). Such a request names that site in
``Host``: a name that is not ours. An address instead of a name cannot be rebound.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from service.security.errors import MisdirectedProblem

__all__ = ["require_known_host", "without_port"]

_ANY = "*"
_THIS_MACHINE = "localhost"


def require_known_host(host: str | None, listening: str | None, allowed: Iterable[str]) -> None:
    """Let a request pass that calls this service by one of its names.

    Args:
        host: Its ``Host`` header.
        listening: The address it came to.
        allowed: Names besides this machine's; ``*`` is any.

    Raises:
        MisdirectedProblem: It calls us by another name.
    """
    name = without_port(host or "").lower()
    known = {_THIS_MACHINE, *(entry.lower() for entry in allowed)}
    if name in known or _ANY in known or (listening and name == listening) or _is_address(name):
        return
    names = sorted(known)
    raise MisdirectedProblem(
        f"this service is not called {name[:80]!r} (it is called {', '.join(names)}; the operator "
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
