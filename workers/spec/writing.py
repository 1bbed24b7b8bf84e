"""Specifications as YAML text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["yaml_text"]

_WIDTH = 100
"""Characters of a line, so that lists of values stay on one."""


def yaml_text(plain: Mapping[str, Any], *comments: str) -> str:
    """A specification as YAML, in its order, under comments of one line each."""
    text: str = yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return "".join(f"# {' '.join(comment.split())}\n" for comment in comments) + text
