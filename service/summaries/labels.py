"""Numbers as people read them in cells, tables and sentences."""

__all__ = ["accuracy_label", "curvature_label", "points_label", "split_label"]


def accuracy_label(accuracy: float) -> str:
    """A fraction as percent with one decimal, without the sign."""
    return f"{100 * accuracy:.1f}"


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
    """A split as people write it."""
    return "OOD" if split == "ood" else split
