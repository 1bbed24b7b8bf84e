"""Fixtures of all tests, the marker of tests with servers, and their distribution by xdist."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.support.distribution import share_of
from tests.support.mlflow_server import mlflow_server, mlflow_uri
from tests.support.object_store import object_store
from tests.support.postgresql import postgresql, postgresql_server

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

__all__ = ["mlflow_server", "mlflow_uri", "object_store", "postgresql", "postgresql_server"]

# Every run generates the same examples; `--hypothesis-profile=default` generates new ones.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

_TESTS = Path(__file__).parent
_WITHOUT_SERVERS = {"unit"}


def pytest_configure() -> None:
    """Let SIGINT interrupt: a shell that runs the tests in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test outside of ``tests/unit`` with ``server``."""
    if item.path.relative_to(_TESTS).parts[0] not in _WITHOUT_SERVERS:
        item.add_marker("server")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which `-p no:xdist` leaves out
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Distribute tests by ``share_of``, in order: the long ones come first."""
    from xdist.scheduler import LoadScopeScheduling

    class ShareScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False
    return ShareScheduling(config, log)
