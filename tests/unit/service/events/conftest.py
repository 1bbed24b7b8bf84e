"""A sweep whose events are read."""

from __future__ import annotations

import pytest

from tests.support.specifications import SMALL


@pytest.fixture
def specification() -> str:
    """A sweep of eight trials, as YAML."""
    return SMALL
