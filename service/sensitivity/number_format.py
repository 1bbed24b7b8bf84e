"""Number formats of cells, tables and sentences; one for the page, the terminal and figures."""

from workers.scores import Score

__all__ = [
    "RAISED_MARK",
    "accuracy_label",
    "curvature_label",
    "points_label",
    "score_label",
    "split_label",
]


def accuracy_label(accuracy: float | None) -> str:
    """A fraction as percent with one decimal, without the % sign; a dash for None."""
    return "–" if accuracy is None else f"{100 * accuracy:.1f}"


RAISED_MARK = "‡"
"""Marks a number of a trial below chance, or diverged, that counts as chance."""


def score_label(measured: float | None, counted: float | None, score: Score) -> str:
    """A score as summaries count it, without its unit, marked where that is not what was measured.

    Args:
        measured: Measured score; None if missing.
        counted: Score that counts; None for a trial that does not count.
        score: Its kind.
    """
    if counted is None:
        return score.text(measured)
    return score.text(counted) + RAISED_MARK * (measured != counted)


def points_label(difference: float) -> str:
    """A difference of accuracies in percentage points."""
    points = f"{100 * difference:.1f}".removesuffix(".0")
    return f"{points} point{'' if points == '1' else 's'}"


def curvature_label(value: float) -> str:
    """Three digits, or a power of ten where that is shorter."""
    size = abs(value)
    if size == 0 or 0.01 <= size < 1000:
        return f"{value:.3g}"
    if 1000 <= size < 10_000:
        return f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def split_label(split: str) -> str:
    """Display name of a split."""
    return "OOD" if split == "ood" else split
