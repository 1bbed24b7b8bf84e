"""What all tests share."""

import signal

from .object_store import object_store
from .postgresql import postgresql

__all__ = ["object_store", "postgresql"]


def pytest_configure() -> None:
    """Let SIGINT interrupt: a shell that runs the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
