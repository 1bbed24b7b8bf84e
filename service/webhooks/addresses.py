"""HTTP requests to webhooks, with a check of the addresses against private networks (SSRF).

A name is resolved once, all its addresses are checked, and the connection is made to a checked
address, so a name server that changes its answer in between has no effect. Redirects are not
followed, and proxies in the environment are not used.
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
    """The host of a webhook resolves to an address in a private network or to this machine."""


def post(url: str, body: bytes, headers: dict[str, str], *, allow_private: bool = False) -> int:
    """Send a body by POST and return the HTTP status; the body of the response is not read.

    Args:
        url: The URL, ``http`` or ``https``.
        body: The body of the request.
        headers: Headers besides ``Host`` and ``Content-Length``.
        allow_private: Whether private networks and this machine are allowed.

    Raises:
        AddressRefusedError: An address of the host is not allowed.
        OSError: The connection failed.
        http.client.HTTPException: The response is not HTTP.
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
        # Given explicitly: the class would add the default port of https, which is not http's.
        authority = parts.netloc.rpartition("@")[2]
        connection.request("POST", target, body, {"Host": authority, **headers})
        return connection.getresponse().status
    finally:
        connection.close()
        raw.close()


def _connect(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """Connect to the first reachable address of a host, all of whose addresses must be allowed.

    Raises:
        AddressRefusedError: An address is not allowed.
        OSError: No address is reachable.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, target) for family, _, _, _, target in found]
    for _, target in addresses:
        address = ip_address(str(target[0]).partition("%")[0])
        if not allow_private and not is_public(address):
            raise AddressRefusedError(
                f"{host} has the address {address}, which is not public; the operator "
                "allows private addresses with SASAM_WEBHOOK_PRIVATE_ADDRESSES=true"
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
