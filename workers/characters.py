"""Control characters: those that change how a terminal or a page shows the text around them.

Specifications must not contain them, and terminals get them escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["escape_controls", "find_control", "one_line", "replace_controls"]

_CONTROLS = (
    r"\x00-\x1f"  # C0, with ESC, BEL, tab and line breaks
    r"\x7f-\x9f"  # DEL and C1, with the one-byte CSI
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    r"\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    r"\u2028\u2029"  # line and paragraph separators
    r"\ud800-\udfff"  # surrogates, which stand alone in a Python string and have no UTF-8
    r"\U000e0000-\U000e007f"  # tag characters
)
# The joiners U+200C and U+200D are text: scripts of Asia and emoji are written with them.
_CONTROL = re.compile(f"[{_CONTROLS}]")
_CONTROL_IN_TEXT = re.compile(f"(?![\t\n])[{_CONTROLS}]")


def find_control(text: str) -> str | None:
    """The first control character of a text, escaped; None if there is none."""
    found = _CONTROL.search(text)
    return _escape(found) if found else None


def escape_controls(text: str) -> str:
    r"""Write control characters as escapes such as ``\x1b``; tabs and line breaks stay.

    ``\r\n`` becomes ``\n``. The result can be shown by any terminal and encoded as UTF-8.
    """
    return _CONTROL_IN_TEXT.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    r"""Write every control character as an escape, also tabs (``\x09``) and line breaks."""
    return _CONTROL.sub(_escape, text)


def replace_controls(text: str, replace: Callable[[str], str]) -> str:
    """Replace every control character except tabs and line feeds by ``replace(character)``."""
    return _CONTROL_IN_TEXT.sub(lambda found: replace(found[0]), text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
