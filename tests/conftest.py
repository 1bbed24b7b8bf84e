"""What all tests share."""

import signal

from .object_store import object_store

__all__ = ["object_store"]


def pytest_configure() -> None:
    """Let SIGINT interrupt: a shell that runs the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
