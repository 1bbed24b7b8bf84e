from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.characters import escape_controls, find_control, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc\r\nd", "a\tb\nc\nd"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("over\rwritten", r"over\x0dwritten"),
        ("\x9b1m\x7f\x00", r"\x9b1m\x7f\x00"),
        ("a\u202eb\u2066c\u2028", r"a\u202eb\u2066c\u2028"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
        ("Zoë 👩\u200d🔬 \u00a0 日本", "Zoë 👩\u200d🔬 \u00a0 日本"),
    ],
)
def test_escape_shows_controls_and_keeps_text(text, shown):
    assert escape_controls(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_escaped_text_has_no_controls_but_tabs_and_lines(text):
    shown = escape_controls(text)
    shown.encode()
    assert find_control(shown.replace("\n", "").replace("\t", "")) is None
    assert escape_controls(shown) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_one_line_has_no_controls(text):
    shown = one_line(text)
    shown.encode()
    assert find_control(shown) is None
