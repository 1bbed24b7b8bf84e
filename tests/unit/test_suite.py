"""The rules of the test suite itself."""

from __future__ import annotations

import socket

import pytest

from tests.support.distribution import share_of


def test_unit_test_cannot_bind_a_port() -> None:
    with (
        socket.socket() as probe,
        pytest.raises(RuntimeError, match="tests/integration"),
    ):
        probe.bind(("127.0.0.1", 0))


def test_share_keeps_a_folder_of_servers_together() -> None:
    first, second = (f"tests/integration/service/ui/test_{n}.py::test_a[1]" for n in "ab")
    assert share_of(first) == share_of(second)
    assert share_of(first) != share_of("tests/integration/service/api/test_a.py::test_a")


def test_share_runs_one_embedded_stack_at_a_time() -> None:
    assert share_of("tests/e2e/test_sweep.py::test_a") == share_of(
        "tests/chaos/test_chaos.py::test"
    )


def test_share_of_unit_tests_is_their_file() -> None:
    first, second = (f"tests/unit/workers/test_{n}.py::test_a" for n in "ab")
    assert share_of(first) != share_of(second)
