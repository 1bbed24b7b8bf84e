"""Hyperparameters as text: display names of axes, and values.

Separate from `workers.spec`, so that a command line starts without it.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = ["axis_titles", "value_text"]

_SMALLEST, _LARGEST = 0.01, 1e6
"""Numbers of smaller or larger size are written with an exponent."""

_SHORT = {"learning_rate": "lr", "weight_decay": "wd"}


def value_text(value: Any) -> str:
    """A value as short text: 0.01, 1e-3, cosine, [0.9, 0.999], true."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return _number_text(value) if isinstance(value, float) else str(value)


def _number_text(value: float) -> str:
    """A number to six digits, as the axes of figures write it: 0.01, but 1e-3 and 1e6."""
    if value == 0 or not math.isfinite(value) or _SMALLEST <= abs(value) < _LARGEST:
        return f"{value:g}"
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


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
