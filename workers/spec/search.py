"""Search and early stopping sections: how a sweep chooses configurations and stops trials.

    search: {type: grid, learning_rate: [1e-3, 1e-2], weight_decay: [0, 1e-4]}
    search: {type: random, trials: 30, learning_rate: {low: 1e-4, high: 1}, weight_decay: [0, 1e-4]}
    search:
      type: tpe
      trials: 30
      learning_rate: {low: 1e-4, high: 1}
      weight_decay: {low: 1e-8, high: 1e-2}
      objectives: [val_accuracy, hessian_trace.validation]
    early_stopping: {type: asha, grace_epochs: 5, reduction_factor: 3}

Every optimizer has the same budget: ``trials`` configurations, each with every seed.
"""

from __future__ import annotations

import math
import random
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

from workers.metrics import METRICS
from workers.spec.configuration import Configuration, Value
from workers.spec.fields import (
    Count,
    NonNegative,
    PartError,
    Positive,
    Section,
    Seed,
    Unique,
    is_stored,
)

__all__ = [
    "AshaSpec",
    "Direction",
    "GridSearch",
    "Objective",
    "RandomSearch",
    "Range",
    "SearchSpec",
    "TpeSearch",
]

Direction = Literal["maximize", "minimize"]

_DIRECTIONS: dict[str | None, Direction] = {"higher": "maximize", "lower": "minimize"}
_MAX_CONFIGURATIONS = 100_000
_DIGITS = 8
"""Significant digits of a drawn number; the logarithms of all machines agree on more."""
_MIN_RATIO = 1.01
"""Smallest high / low: such a range still has 1e5 numbers of so many digits."""


class GridSearch(Section):
    """Every learning rate with every weight decay; the defaults are the paper's grid."""

    type: Literal["grid"] = "grid"
    learning_rate: Unique[Positive] = (1e-4, 1e-3, 1e-2, 1e-1)
    """eta_0 for the smoothness-adaptive methods."""
    weight_decay: Unique[NonNegative] = (0.0, 1e-8, 1e-6, 1e-4)
    """L2 penalty, added to the gradient."""

    @property
    def axes(self) -> dict[str, Range | tuple[Value, ...]]:
        """The values of each axis."""
        return {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}

    @property
    def configuration_count(self) -> int:
        """Number of cells of the grid."""
        return len(self.learning_rate) * len(self.weight_decay)

    def configurations(self) -> list[Configuration]:
        """The configuration of every cell."""
        cells = product(self.learning_rate, self.weight_decay)
        return [Configuration(zip(self.axes, cell, strict=True)) for cell in cells]


class Range(Section):
    """An interval to search."""

    low: NonNegative
    high: Positive
    scale: Literal["log", "linear"] = "log"
    """Scale on which numbers are spread evenly."""

    @model_validator(mode="after")
    def _is_range(self, info: ValidationInfo) -> Range:
        if self.low * _MIN_RATIO > self.high and not is_stored(info):
            message = f"must be at least 1 % below high, {self.high:g}"
            raise PartError(("low",), message, self.low)
        if self.scale == "log" and self.low == 0:
            message = "must be above 0 on a log scale (or choose scale: linear)"
            raise PartError(("low",), message, self.low)
        return self

    def at(self, share: float) -> float:
        """The number at a share in [0, 1) of the range, rounded and kept inside."""
        if self.scale == "log":
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + share * (high - low))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


def _above_zero(value: Range) -> Range:
    if value.low == 0:
        raise PartError(("low",), "must be above 0", value.low)
    return value


class _SampledSearch(Section):
    """Fields of searches over ranges."""

    trials: Annotated[int, Field(ge=1, le=_MAX_CONFIGURATIONS, strict=True)]
    """Configurations of each optimizer, each run with every seed."""
    learning_rate: Annotated[Range, AfterValidator(_above_zero)] = Range(low=1e-4, high=1e-1)
    """eta_0 for the smoothness-adaptive methods."""
    weight_decay: Range | Unique[NonNegative] = Range(low=1e-8, high=1e-4)
    """A range, or values to choose from, which may include 0."""
    seed: Seed = 0
    """Seed of the search; the trials have their own."""

    @property
    def axes(self) -> dict[str, Range | tuple[Value, ...]]:
        """The range or the choices of each axis."""
        return {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}

    @property
    def configuration_count(self) -> int:
        """Number of configurations per optimizer."""
        return self.trials


class RandomSearch(_SampledSearch):
    """Configurations drawn independently, the same ones for every optimizer.

    They depend only on ``seed`` and are known at submission. Sharing them allows paired comparisons
    of optimizers, as on a grid.
    """

    type: Literal["random"]

    def configurations(self) -> list[Configuration]:
        """The configurations in the order they were drawn; each is drawn once."""
        generator = random.Random(f"sasam {self.seed}")  # noqa: S311 - no secret
        drawn: dict[Configuration, None] = {}
        while len(drawn) < self.trials:
            values = {name: _pick(axis, generator.random()) for name, axis in self.axes.items()}
            drawn[Configuration(values)] = None
        return list(drawn)


def _direction(metric: object) -> Direction:
    """The direction of better values; arbitrary for an unknown metric."""
    known = METRICS.get(str(metric).partition(".")[0])
    return _DIRECTIONS.get(known.better if known else None, "maximize")


class Objective(Section):
    """A metric to optimise; a plain name is enough."""

    metric: Literal[
        "val_accuracy",
        "val_loss",
        "train_accuracy",
        "train_loss",
        "hessian_trace.validation",
        "hessian_lambda_max.validation",
    ] = "val_accuracy"
    direction: Direction = "maximize"
    """Follows from the metric where absent."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        value = {"metric": value} if isinstance(value, str) else value
        metric = value.get("metric") if isinstance(value, dict) else None
        if isinstance(metric, str) and "ood" in metric:
            message = "must not be of OOD data: what selects configurations cannot judge them too"
            raise PartError(("metric",), message, metric)
        if isinstance(value, dict) and "direction" not in value:
            return value | {"direction": _direction(value.get("metric", "val_accuracy"))}
        return value

    @model_validator(mode="after")
    def _sensible(self) -> Objective:
        better = _direction(self.metric)
        if self.direction != better:
            adjective = "higher" if better == "maximize" else "lower"
            message = f"must be {better}: {adjective} {self.metric} is better"
            raise PartError(("direction",), message, self.direction)
        return self

    def __str__(self) -> str:
        """The metric alone: it implies the direction."""
        return self.metric

    @property
    def curvature_metric(self) -> str | None:
        """Required entry of `CurvatureSpec.metrics`; None if every trial measures the metric."""
        name, _, split = self.metric.partition(".")
        return name.removeprefix("hessian_") if split else None


class TpeSearch(_SampledSearch):
    """Tree-structured Parzen estimators: each optimizer's search learns from its own trials.

    With two objectives it searches for the best trade-offs (multi-objective TPE). With several
    seeds an objective is the mean over them. An interrupted sweep continues with the same
    suggestions; the same sweep submitted again makes the same ones only if its trials end in the
    same order, as with ``resources.max_concurrent: 1``.
    """

    type: Literal["tpe"]
    objectives: Annotated[Unique[Objective], Field(max_length=2)] = (Objective(),)
    """One metric, or two for trade-offs between them."""

    def configurations(self) -> list[Configuration]:
        """Empty: configurations are found while the sweep runs."""
        return []

    @property
    def largest(self) -> Configuration:
        """The largest learning rate and weight decay."""
        decays = self.weight_decay
        largest = decays.high if isinstance(decays, Range) else max(decays)
        return Configuration({"learning_rate": self.learning_rate.high, "weight_decay": largest})


class AshaSpec(Section):
    """Asynchronous successive halving: stop a trial that falls behind others of its optimizer.

    A trial that has trained ``grace_epochs * reduction_factor ** k`` epochs, k = 0, 1, ...,
    continues if its metric is among the best 1 / ``reduction_factor`` of the trials that came as
    far. Only trials of one optimizer are compared: one that learns slowly at first is not worse.
    """

    type: Literal["asha"] = "asha"
    metric: Literal["val_accuracy", "val_loss", "train_accuracy", "train_loss"] = "val_accuracy"
    grace_epochs: Count = 1
    """Minimum number of epochs of every trial."""
    reduction_factor: Annotated[int, Field(ge=2, le=100, strict=True)] = 4
    """One in so many trials at a rung continues."""

    @property
    def direction(self) -> Direction:
        """The direction of better values of the metric."""
        return _direction(self.metric)


def _pick(values: Range | tuple[Value, ...], share: float) -> Value:
    """The value at a share in [0, 1) of a range or of some choices."""
    return values.at(share) if isinstance(values, Range) else values[int(share * len(values))]


_SEARCHES = ("grid", "random", "tpe")


def _known_type(value: Any) -> Any:
    """Refuse an unknown type of search before its fields are validated."""
    if isinstance(value, dict) and value.get("type", "grid") not in _SEARCHES:
        known = " or ".join(map(repr, _SEARCHES))
        raise PartError(("type",), f"must be {known}", value["type"])
    return value


def _type_of(value: Any) -> str:
    """Type of the search; a grid if absent."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if kind in _SEARCHES else "grid"


SearchSpec = Annotated[
    Annotated[GridSearch, Tag("grid")]
    | Annotated[RandomSearch, Tag("random")]
    | Annotated[TpeSearch, Tag("tpe")],
    Discriminator(_type_of),
    BeforeValidator(_known_type),
]
