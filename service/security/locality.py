"""Locality of a request: whether it was made on this machine, without a proxy in between.

Only such a caller is trusted without a token. The listening address does not prove it: a reverse
proxy on this machine connects from loopback on behalf of callers on other machines. A proxy is
recognised by the headers it adds, by the public name it keeps in ``Host``, and by HTTP/1.0, which
nginx uses towards its upstream servers by default. A proxy or tunnel that adds no header and
rewrites ``Host`` cannot be distinguished from a local caller: behind one, set
``SASAM_AUTH=required``.
"""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import Request

from service.security.allowed_hosts import without_port
from service.security.errors import ForbiddenProblem

__all__ = ["is_local", "is_loopback", "require_local"]

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


def require_local(request: Request) -> None:
    """Accept a request without a token only if it was made on this machine.

    Raises:
        ForbiddenProblem: The request came from another machine or through a proxy.
    """
    if not is_local(request):
        raise ForbiddenProblem(
            "without tokens this service answers only requests made on its own machine, not "
            "those from other machines or through a proxy; its operator creates a token with "
            "`sasam token create`",
            code="no-tokens",
        )


def is_local(request: Request) -> bool:
    """Whether a request was made on this machine; requests within this process are local.

    Both ends of the connection must be loopback addresses, ``Host`` must be ``localhost`` or a
    loopback address, and the request must not show signs of a proxy.
    """
    server, client = request.scope.get("server"), request.client
    listening = server[0] if server else None
    if _is_remote(listening) or _is_remote(client.host if client else None):
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


def _is_remote(address: str | None) -> bool:
    """Whether an address is not loopback; within this process the ends are names, not addresses."""
    try:
        return not ip_address(address or "").is_loopback
    except ValueError:
        return False


def _is_forwarded(request: Request) -> bool:
    """Whether a request has a header that proxies add."""
    names = (name.lower() for name in request.headers)
    return any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES) for name in names)
