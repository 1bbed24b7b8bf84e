"""Colour scales of heatmaps: logarithmic for curvature, linear for accuracies and losses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.sensitivity.errors import InvalidOptionError
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.score_values import oriented_range
from workers.scores import Score

__all__ = ["ColourScale", "score_scale"]

_LEAST_RANGE = 0.01
"""Of a colour scale of accuracies or losses."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Ends of a colour scale: logarithmic for curvature, linear for accuracy and loss.

    Attributes:
        low: The dark end, of accuracies and losses the worst.
        high: The bright end.
        shown: Whether accuracies or losses are shown; None for a curvature.
    """

    low: float
    high: float
    shown: Score | None = None

    @property
    def is_curvature(self) -> bool:
        """Whether it is the scale of a curvature."""
        return self.shown is None

    def shade(self, value: float) -> float:
        """Place on the scale, in [0, 1]."""
        low, high = self.low, self.high
        if self.is_curvature:
            if value <= 0:
                return 0.0
            value, low, high = math.log(value), math.log(low), math.log(high)
        return min(1.0, max(0.0, (value - low) / (high - low)))


def score_scale(
    values: Sequence[Floats], shown: Score, chance_accuracy: float, span: str | None
) -> ColourScale:
    """The colours of accuracies or losses: from a uniform guess, or a span below the best.

    Args:
        values: Values as measured, [C] per optimizer; NaN where missing, one at least not.
        shown: Whether they are accuracies or losses.
        chance_accuracy: Accuracy of guessing; 0 if unknown, where losses begin at the worst.
        span: Difference from the best at which the colours begin, in percentage points or nats;
            None for a uniform guess.

    Raises:
        InvalidOptionError: ``span`` is not a positive number in the range of differences.
    """
    oriented = np.concatenate([shown.sign * of_optimizer for of_optimizer in values])
    best, guess = float(np.nanmax(oriented)), shown.oriented(shown.guess(chance_accuracy))
    low = guess if math.isfinite(guess) else float(np.nanmin(oriented))
    high = max(best, low + _LEAST_RANGE)
    if span is not None:
        low = max(oriented_range(shown)[0], high - _difference(span, shown))
    return ColourScale(shown.oriented(low), shown.oriented(high), shown)


def _difference(span: str, shown: Score) -> float:
    """A difference of scores from its number as shown.

    Raises:
        InvalidOptionError: It is not a number in the range of differences, above 0.
    """
    try:
        value = float(span) / shown.factor
    except ValueError:
        value = math.nan
    most = shown.differences[1]
    if not (0 < value <= most and math.isfinite(value)):
        unit = shown.difference_unit
        up_to = f", up to {shown.factor * most:g}" if math.isfinite(most) else ""
        raise InvalidOptionError(
            "invalid_span",
            f"A colour range of {span[:20]!r} {unit} is not a number above 0{up_to}.",
            (f"a number of {unit} above 0{up_to}",),
        )
    return value
