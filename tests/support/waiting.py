"""Wait for a condition instead of sleeping."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

__all__ = ["http_answers", "wait_until"]


def wait_until(
    condition: Callable[[], bool],
    *,
    seconds: float = 60.0,
    explain: Callable[[], str] = lambda: "the condition never held",
) -> None:
    """Return as soon as ``condition`` holds.

    Args:
        condition: Checked every 20 ms.
        seconds: Time limit.
        explain: Message of the failure when the limit has passed, such as the log of a process.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.02)


def http_answers(url: str) -> bool:
    """Return whether a GET request to ``url`` succeeds."""
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of this machine
    except OSError:
        return False
    return True
