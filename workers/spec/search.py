"""Search and early stopping sections: how a sweep chooses configurations and stops trials.

    search: {type: grid, learning_rate: [1e-3, 1e-2], weight_decay: [0, 1e-4]}
    search: {type: grid, learning_rate: [0.1, 1], optimizer.momentum: [0, 0.9], weight_decay: 0}
    search: {type: random, trials: 30, learning_rate: {low: 1e-4, high: 1}, weight_decay: [0, 1e-4]}
    search:
      type: tpe
      trials: 30
      learning_rate: {low: 1e-4, high: 1}
      weight_decay: {low: 1e-8, high: 1e-2}
      training.batch_size: {low: 32, high: 512}
      objectives: [val_accuracy, hessian_trace.validation]
    early_stopping: {type: asha, grace_epochs: 5, reduction_factor: 3}

Every key of ``search`` that is not a field of its section is an axis, see `workers.spec.axes`. A
search gives every optimizer the same budget: ``trials`` configurations, each with every seed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from workers.metrics import METRICS
from workers.scores import Direction
from workers.spec.axes import NO_RANGE, AxisFields, name_flaw, plain_axis
from workers.spec.fields import (
    Count,
    NonNegative,
    PartError,
    PartsError,
    Positive,
    Section,
    Seed,
    Unique,
)
from workers.spec.optimizers import VARIANTS
from workers.spec.ranges import Range

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

_DIRECTIONS: dict[str | None, Direction] = {"higher": "maximize", "lower": "minimize"}
_MAX_CONFIGURATIONS = 100_000


_Rates = Unique[Positive] | Positive | None
_Decays = Unique[NonNegative] | NonNegative | None


def _known_names(search: AxisFields) -> None:
    """Refuse keys that are neither fields of a search nor names of axes.

    Raises:
        PartsError: There are such keys.
    """
    fields = type(search).model_fields
    options = [option for variant in VARIANTS.values() for option in variant.model_fields]
    flaws = [
        PartError((name,), message, plain_axis(value))
        for name, value in search.written.items()
        if (message := name_flaw(name, fields, options)) and name not in fields
    ]
    if flaws:
        raise PartsError(flaws)


class GridSearch(AxisFields):
    """Every combination of the values of the axes; the defaults are the paper's grid."""

    type: Literal["grid"] = "grid"
    learning_rate: _Rates = (1e-4, 1e-3, 1e-2, 1e-1)
    """eta_0 for the smoothness-adaptive methods; null is the default of each optimizer."""
    weight_decay: _Decays = (0.0, 1e-8, 1e-6, 1e-4)
    """L2 penalty, added to the gradient; null is the default of each optimizer."""

    @model_validator(mode="after")
    def _has_known_names(self) -> GridSearch:
        _known_names(self)
        ranges = {name: axis for name, axis in self.written.items() if isinstance(axis, Range)}
        if ranges:
            raise PartsError(
                [PartError((name,), NO_RANGE, plain_axis(axis)) for name, axis in ranges.items()]
            )
        return self


def _above_zero(value: Range) -> Range:
    if value.low == 0:
        raise PartError(("low",), "must be above 0", value.low)
    return value


class _SampledSearch(AxisFields):
    """Fields of searches over ranges."""

    trials: Annotated[int, Field(ge=1, le=_MAX_CONFIGURATIONS, strict=True)]
    """Configurations of each optimizer, each run with every seed; all, if there are fewer."""
    learning_rate: Annotated[Range, AfterValidator(_above_zero)] | _Rates = Range(
        low=1e-4, high=1e-1
    )
    """eta_0 for the smoothness-adaptive methods; null is the default of each optimizer."""
    weight_decay: Range | _Decays = Range(low=1e-8, high=1e-4)
    """A range, or values to choose from, which may include 0; null is the default of each
    optimizer."""
    seed: Seed = 0
    """Seed of the search; the trials have their own."""

    @model_validator(mode="after")
    def _has_known_names(self) -> Self:
        _known_names(self)
        return self


class RandomSearch(_SampledSearch):
    """Configurations drawn independently; optimizers share the values of common axes.

    They depend only on ``seed`` and are known at submission. Sharing them allows paired comparisons
    of optimizers, as on a grid.
    """

    type: Literal["random"]


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
    """One metric, or two for trade-offs between them; absent, the score on validation data."""


class AshaSpec(Section):
    """Asynchronous successive halving: stop a trial that falls behind others of its optimizer.

    A trial that has trained ``grace_epochs * reduction_factor ** k`` epochs, k = 0, 1, ...,
    continues if its metric is among the best 1 / ``reduction_factor`` of the trials that came as
    far. Only trials of one optimizer are compared: one that learns slowly at first is not worse.
    """

    type: Literal["asha"] = "asha"
    metric: Literal["val_accuracy", "val_loss", "train_accuracy", "train_loss"] = "val_accuracy"
    """What is compared; absent, the score on validation data."""
    grace_epochs: Count = 1
    """Minimum number of epochs of every trial."""
    reduction_factor: Annotated[int, Field(ge=2, le=100, strict=True)] = 4
    """One in so many trials at a rung continues."""

    @property
    def direction(self) -> Direction:
        """The direction of better values of the metric."""
        return _direction(self.metric)


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
