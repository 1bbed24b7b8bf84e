"""Errors in a line."""

from __future__ import annotations

import pytest

from service.first_line import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (TimeoutError(), "TimeoutError"),
        (OSError(""), "OSError"),
        (KeyError("x"), "'x'"),
    ],
)
def test_first_line_of_an_error_or_its_type(error: Exception, line: str) -> None:
    assert first_line(error) == line
