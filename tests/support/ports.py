"""Free ports of this machine."""

from __future__ import annotations

import socket

__all__ = ["closed_url", "free_port"]


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def closed_url() -> str:
    """Return an HTTP address that refuses connections."""
    return f"http://127.0.0.1:{free_port()}"
