"""Hyperparameters as text: display names of axes, and values.

Separate from `workers.spec`, so that a command line starts without it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["axis_titles", "value_text"]

_SHORT = {"learning_rate": "lr", "weight_decay": "wd"}


def value_text(value: Any) -> str:
    """A value as short text: 0.001, cosine, [0.9, 0.999], true."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return value if isinstance(value, str) else f"{value:g}"


def axis_titles(names: Iterable[str], *, short: bool = False) -> dict[str, str]:
    """Display names by name: "learning rate", "momentum"; the path where two would be the same.

    Args:
        names: Dotted paths.
        short: Abbreviate as columns do: "lr", "wd".
    """
    names = list(names)
    titles = {name: name.rpartition(".")[2].replace("_", " ") for name in names}
    counts = Counter(titles.values())
    titles = {
        name: title if counts[title] == 1 else name.replace("_", " ")
        for name, title in titles.items()
    }
    return titles | ({n: t for n, t in _SHORT.items() if n in titles} if short else {})
