"""Errors of a specification: path, value and what is allowed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from workers.characters import escape_controls, one_line

__all__ = ["SpecError", "SpecProblem", "cut", "shorten"]

_LONGEST_MESSAGE = 1_000


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One problem of a specification.

    Args:
        path: Path of the value, such as ``search.learning_rate[2]``; empty for the whole.
        message: What is wrong and what is allowed. It may quote the specification: control
            characters are escaped, and what exceeds 1,000 characters is cut.
        value: The value as text, shortened.
    """

    path: str
    message: str
    value: str

    def __post_init__(self) -> None:
        """Make the message fit for a terminal and a log."""
        object.__setattr__(self, "message", cut(one_line(self.message), _LONGEST_MESSAGE))

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path or 'specification'}: {self.message} (got {self.value})"

    def as_dict(self) -> dict[str, str]:
        """The problem as plain data."""
        return asdict(self)


class SpecError(ValueError):
    """A specification that cannot be run; ``problems`` has paths and reasons."""

    def __init__(self, problems: list[SpecProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))

    def __reduce__(self) -> tuple[type[SpecError], tuple[list[SpecProblem]]]:
        """Pickle the problems: Python would pass the message to the constructor."""
        return type(self), (self.problems,)


def shorten(value: Any) -> str:
    """A value as short text without control characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        text = f"a value of type {type(value).__name__}"
    return cut(escape_controls(text))


def cut(text: str, longest: int = 80) -> str:
    """The beginning of a text, with an ellipsis if it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
