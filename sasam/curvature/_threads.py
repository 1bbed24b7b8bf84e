"""One thread for CPU work too small to be worth several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# About the size of the largest graph for which a second thread gained next to nothing; it cost a
# factor of up to 500 beside busy processes: `docs/benchmarks-curvature.md`.
_LEAST_BYTES = 8 * 2**20


@contextmanager
def limited_threads(work_bytes: int) -> Iterator[None]:
    """Use one thread within the context if the work is small, and the caller's number otherwise.

    Threads wait for each other by spinning, at every operation. If another process has the core of
    one of them, all others wait for it. The number depends on the work alone, so that equal calls
    give equal bits.

    Args:
        work_bytes: The memory that the work reads and writes, such as the size of an autograd
            graph.
    """
    threads = torch.get_num_threads()
    if work_bytes >= _LEAST_BYTES or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
