"""Errors of summaries and figures.

    SummaryError
    ├── UnknownNameError    an unknown metric, figure, format, theme, optimizer, axis or split
    ├── InvalidOptionError  an option outside its range (target, epsilon, budget)
    ├── InvalidTrialsError  trials that contradict each other or the plan
    └── NotAvailableError   a valid request that these trials cannot answer (yet)
        └── NeedsGridError  one that only trials of a grid search can answer

Each carries a stable ``code`` for programs, and ``allowed``: the possible alternatives.
"""

import difflib
from collections.abc import Iterable

__all__ = [
    "InvalidOptionError",
    "InvalidTrialsError",
    "NeedsGridError",
    "NotAvailableError",
    "SummaryError",
    "UnknownNameError",
]


class SummaryError(Exception):
    """Root of the errors of this package.

    Attributes:
        code: Stable identifier, snake case.
        message: What was wrong, the value got, what is allowed.
        allowed: The possible alternatives; may be empty.
    """

    def __init__(self, code: str, message: str, allowed: Iterable[str] = ()) -> None:
        self.code = code
        self.message = message
        self.allowed = tuple(allowed)
        choices = f" Possible: {', '.join(self.allowed)}." if self.allowed else ""
        super().__init__(message + choices)


class UnknownNameError(SummaryError):
    """A name that is not one of ``allowed``; the message has the nearest one.

    Args:
        kind: What it names.
        got: The name.
        allowed: The names there are.
        of: What would have to have it: "optimizer.momentum" of a value.
    """

    def __init__(self, kind: str, got: object, allowed: Iterable[str], *, of: str = "") -> None:
        allowed = tuple(allowed)
        near = [name for name in allowed if name.endswith(f".{got}")]  # its last part
        near = near or difflib.get_close_matches(str(got), allowed, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else "."
        owner = f" of {of}" if of else ""
        super().__init__(
            f"unknown_{kind.replace(' ', '_')}",
            f"There is no {kind} {got!r}{owner}{guess}",
            allowed,
        )


class InvalidOptionError(SummaryError):
    """An option outside its range."""


class InvalidTrialsError(SummaryError):
    """Trials that contradict each other or the plan."""


class NotAvailableError(SummaryError):
    """These trials cannot answer the request (yet)."""


class NeedsGridError(NotAvailableError):
    """A request about lines along which one hyperparameter changes, which only a grid has."""

    def __init__(self, what: str, search: str, allowed: Iterable[str]) -> None:
        super().__init__("needs_grid", f"{what} needs a grid; this is a {search} search.", allowed)
