"""Which tests share a process when pytest-xdist distributes them."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["share_of"]


def share_of(nodeid: str) -> str:
    """Return the name of the tests that run in the same process as this one.

    Tests of one folder with servers stay together, so that each server starts once; so do the
    tests that occupy the machine with a whole embedded stack. Others are distributed by file.

    Args:
        nodeid: pytest's name of a test, such as ``tests/e2e/test_sweep.py::test_sweep``.
    """
    file = PurePosixPath(nodeid.partition("::")[0])
    kind = file.parts[1] if len(file.parts) > 1 else ""
    if kind in {"chaos", "e2e"}:
        return "embedded stack"
    return str(file.parent if kind == "integration" else file)
