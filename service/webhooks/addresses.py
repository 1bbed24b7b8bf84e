"""Connects to the addresses a webhook may have, and to no other.

A name is resolved once, each address is checked, and the connection is made to the address that was
checked: a name server that answers differently in between has no effect. Redirects are not
followed, and proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.webhooks.routability import is_public

__all__ = ["AddressRefusedError", "post"]

_TIMEOUT_SECONDS = 10.0


class AddressRefusedError(OSError):
    """A webhook's name leads into a private network or to this machine."""


def post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool = False) -> int:
    """Send a body; returns the HTTP status of the answer, whose content nobody reads.

    Args:
        url: Where to, ``http`` or ``https``.
        body: What to send.
        headers: Headers besides ``Host`` and ``Content-Length``.
        allow_private: Whether it may lie in a private network or on this machine.

    Raises:
        OSError: No connection, or none that is allowed.
        http.client.HTTPException: The answer is no HTTP.
    """
    parts = urlsplit(url)
    is_encrypted = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_encrypted else 80)
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    raw = _connect(host, port, allow_private=allow_private)
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(raw, server_hostname=host)
            if is_encrypted
            else raw
        )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # `Host` needs the port unless it is the scheme's own, which the class takes for http's.
        named = parts.netloc.rpartition("@")[2]
        connection.request("POST", target, body, {"Host": named, **headers})
        return connection.getresponse().status
    finally:
        connection.close()
        raw.close()


def _connect(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """Connect to one of the host's addresses, all of which must be allowed."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, target) for family, _, _, _, target in found]
    for _, target in addresses:
        address = ip_address(str(target[0]).partition("%")[0])
        if not allow_private and not is_public(address):
            raise AddressRefusedError(
                f"{host} is {address}, which is not an address of the internet; the operator "
                "allows private ones with SASAM_WEBHOOK_PRIVATE_ADDRESSES=true"
            )
    failure: OSError = OSError(f"{host} has no address")
    for family, target in addresses:
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.settimeout(_TIMEOUT_SECONDS)
        try:
            opened.connect(target)
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure
