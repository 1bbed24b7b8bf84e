"""Scores: the quantity that ranks the configurations of a sweep, accuracy or loss.

Everything that depends on which of them it is belongs to `Score`: names of the metrics, direction,
unit, the value of a uniform guess, and formats. Statistics are computed on *oriented* scores, of
which the higher is the better, so that a difference is a cost whatever the score is.

A trial that diverged counts as a uniform guess: accuracy 1 / C, loss ln C, with C the number of
classes or tokens. So does one that ended worse than a guess: an accuracy below 1 / C, a loss above
ln C. Otherwise a single diverged trial, whose loss is infinite, would decide every mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["SCORES", "Direction", "Score", "ScoreName", "score_of_metric"]

ScoreName = Literal["accuracy", "loss"]
Direction = Literal["maximize", "minimize"]
_DASH = "–"


@dataclass(frozen=True, slots=True)
class Score:
    """What ranks configurations.

    Args:
        name: Its name in a specification, and the end of its metrics' names.
        direction: Direction of better values.
        best: The best possible value.
        unit: Unit of a value as shown.
        difference_unit: Unit of a difference as shown, in the plural.
        factor: A value as shown, divided by the value.
        decimals: Decimals of a value as shown.
        epsilon: Difference within which a configuration counts as near-optimal by default.
        spans: Offered ranges of colours below the best, as shown.
        axis_format: Format of the ticks of an axis, in the notation of d3-format.
    """

    name: ScoreName
    direction: Direction
    best: float
    unit: str
    difference_unit: str
    factor: float
    decimals: int
    epsilon: float
    spans: tuple[float, ...]
    axis_format: str

    @property
    def val_metric(self) -> str:
        """Name of its metric on validation data."""
        return f"val_{self.name}"

    @property
    def ood_metric(self) -> str:
        """Name of its metric on OOD data."""
        return f"ood_{self.name}"

    @property
    def metrics(self) -> tuple[str, str]:
        """Names of its metrics on validation and on OOD data."""
        return self.val_metric, self.ood_metric

    @property
    def sign(self) -> float:
        """1 where higher is better, -1 where lower is."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def differences(self) -> tuple[float, float]:
        """Range of a cost, such as a regret: a difference of two scores that is not negative."""
        return 0.0, (1.0 if self.name == "accuracy" else math.inf)

    @property
    def signed_differences(self) -> tuple[float, float]:
        """Range of a difference of two scores."""
        largest = self.differences[1]
        return -largest, largest

    def oriented(self, value: float) -> float:
        """A value so that higher is better; of an oriented value the value itself."""
        return self.sign * value

    def guess(self, chance: float) -> float:
        """The score of a uniform guess.

        Args:
            chance: Accuracy of guessing, 1 / C; 0 if C is unknown.

        Returns:
            1 / C for accuracy, ln C for loss; infinity for the loss if C is unknown.
        """
        if self.name == "accuracy":
            return chance
        return -math.log(chance) if chance > 0 else math.inf

    def at_least_guess(self, value: float, chance: float) -> float:
        """A value, or that of a uniform guess if the value is worse."""
        return self.oriented(max(self.oriented(value), self.oriented(self.guess(chance))))

    def is_valid(self, value: float) -> bool:
        """Whether a finite value is possible: an accuracy in [0, 1], a loss of at least 0."""
        return 0 <= value <= (1 if self.name == "accuracy" else math.inf)

    @property
    def allowed(self) -> str:
        """The possible values in words."""
        return "a number in [0, 1]" if self.name == "accuracy" else "a number of at least 0"

    @property
    def units(self) -> str:
        """Units of tables in words."""
        if self.name == "accuracy":
            return "Accuracies in percent, costs in points"
        return "Losses and costs in nats, the lower the better"

    @property
    def tooltip_format(self) -> str:
        """Format of a value, in the notation of d3-format."""
        return f".{self.decimals}{'%' if self.unit == '%' else 'f'}"

    def text(self, value: float | None) -> str:
        """A value without its unit, such as 93.8 or 1.234; a dash for None."""
        return _DASH if value is None else f"{self.factor * value:.{self.decimals}f}"

    def quantity(self, value: float | None) -> str:
        """A value with its unit, such as 93.8 % or 1.234 nats; a dash for None."""
        return _DASH if value is None else f"{self.text(value)} {self.unit}"

    def points(self, difference: float) -> str:
        """A difference with its unit, such as 1.3 points or 0.021 nats."""
        number = f"{self.factor * difference:.{self.decimals}f}"
        number = number.rstrip("0").rstrip(".") if "." in number else number
        unit = self.difference_unit
        return f"{number} {unit.removesuffix('s') if number == '1' else unit}"

    def signed(self, difference: float | None) -> str:
        """A signed difference without its unit; a dash for None."""
        return _DASH if difference is None else f"{self.factor * difference:+.{self.decimals}f}"

    @property
    def cost_verb(self) -> str:
        """What becomes of a score that has a cost, in words that a difference follows."""
        return "loses" if self.direction == "maximize" else "its loss rises by"

    def cost(self, difference: float) -> str:
        """What a cost means in words: "loses 1.3 points", "its loss rises by 0.021 nats"."""
        return f"{self.cost_verb} {self.points(difference)}"

    def ranked(self, *, better: bool) -> str:
        """What better or worse configurations are or have, in words."""
        if self.direction == "maximize":
            return f"are {'more' if better else 'less'} accurate"
        return f"have a {'lower' if better else 'higher'} loss"

    @property
    def below_guess(self) -> str:
        """In words: worse than a uniform guess."""
        return "below chance" if self.direction == "maximize" else "with a loss above chance"

    def heading(self, split: str) -> str:
        """Heading of a column, such as "val %" or "OOD loss"."""
        return f"{split} {self.unit if self.name == 'accuracy' else self.name}"


SCORES: Mapping[ScoreName, Score] = MappingProxyType(
    {
        "accuracy": Score(
            "accuracy",
            "maximize",
            1.0,
            "%",
            "points",
            100.0,
            1,
            epsilon=0.01,
            spans=(20.0, 5.0, 1.0),
            axis_format="~%",
        ),
        "loss": Score(
            "loss",
            "minimize",
            0.0,
            "nats",
            "nats",
            1.0,
            3,
            epsilon=0.05,
            spans=(1.0, 0.3, 0.1),
            axis_format="~g",
        ),
    }
)
"""The scores by name."""


def score_of_metric(metric: str) -> Score | None:
    """The score that a metric such as ``val_loss`` is a value of; None for another metric."""
    return next((score for name, score in SCORES.items() if metric.endswith(f"_{name}")), None)
