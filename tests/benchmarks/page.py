"""Sections of docs/benchmarks.md: each benchmark replaces its own."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

__all__ = ["machine", "write_section"]


def machine() -> str:
    """The machine and its load, for a reader of the page."""
    load = round(os.getloadavg()[0], 1)
    python = platform.python_version()
    return f"{os.cpu_count()} CPU cores, {platform.machine()}, Python {python}, load {load}"


def write_section(page: Path, heading: str, text: str) -> None:
    """Replace the section of a page with this heading, or append it.

    Args:
        page: The page; it is made if it does not exist.
        heading: A line that begins with ``## ``.
        text: The section, with its heading.
    """
    before = page.read_text() if page.exists() else "# Benchmarks\n"
    pattern = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: text.rstrip("\n") + "\n\n", before)
    else:
        after = before.rstrip("\n") + "\n\n" + text
    page.write_text(after.rstrip("\n") + "\n")
