"""The rule of unit tests: they start no server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

_is_unit_test = False


def _refuse_ports(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to bind a port while a unit test runs; sockets in the file system are no servers."""
    if _is_unit_test and event == "socket.bind" and isinstance(arguments[1], tuple):
        raise RuntimeError(
            f"a unit test binds {arguments[1]}: move it to tests/integration, "
            "where fixtures of tests/support run servers"
        )


sys.addaudithook(_refuse_ports)


@pytest.fixture(autouse=True)
def _no_servers() -> Iterator[None]:
    global _is_unit_test
    _is_unit_test = True
    yield
    _is_unit_test = False
