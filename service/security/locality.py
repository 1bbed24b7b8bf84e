"""Whether a request was made on this machine, without a proxy in between.

Only such a caller is trusted without a token. The listening address does not prove it: a reverse
proxy on this machine connects from loopback on behalf of callers from elsewhere. What gives a proxy
away are the headers it adds, the public name it keeps in ``Host``, and HTTP/1.0, in which nginx
speaks to its upstream servers unless its configuration says otherwise. A proxy or tunnel that
changes nothing about a request cannot be told from a local caller: behind one, set
``SASAM_AUTH=required``.
"""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import Request

from service.security.allowed_hosts import without_port

__all__ = ["is_local", "is_loopback"]

_FORWARDING_PREFIXES = ("x-forwarded-", "x-original-", "x-envoy-", "cf-", "x-amzn-", "x-arr-")
_FORWARDING = frozenset(
    {
        "cdn-loop",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "forwarded-for",
        "proxy-connection",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-remote-ip",
        "x-request-start",
    }
)
"""Headers that reverse proxies, load balancers and content delivery networks add, lower case."""


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine itself; one made in this process does.

    Both ends of the connection must be loopback addresses, the name in ``Host`` must be this
    machine's own, and nothing may show that a proxy forwarded the request.
    """
    server, client = request.scope.get("server"), request.client
    listening = server[0] if server else None
    if _is_elsewhere(listening) or _is_elsewhere(client.host if client else None):
        return False
    name = without_port(request.headers.get("host", "")).lower()
    if not (is_loopback(name) or name == listening):
        return False
    return request.scope.get("http_version") != "1.0" and not _is_forwarded(request)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on ``host``."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_elsewhere(address: str | None) -> bool:
    """Whether an address is not this machine's; the ends of a call in this process are names."""
    try:
        return not ip_address(address or "").is_loopback
    except ValueError:
        return False


def _is_forwarded(request: Request) -> bool:
    names = (name.lower() for name in request.headers)
    return any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES) for name in names)
