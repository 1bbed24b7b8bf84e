"""Schemas of the dependence on single hyperparameters."""

from typing import Literal

from pydantic import Field, JsonValue

from service.sensitivity.strict_schema import Interval, Schema

__all__ = ["AxisDifference", "AxisSummary", "OffByFactor", "OnGridEdge", "Tolerance"]


class OffByFactor(Schema):
    """S(k): what a value k times too small or too large costs, all others tuned for it."""

    factor: float = Field(description="k.", examples=[2.0])
    loss: float | None = Field(
        description="Mean of both sides: the expected loss if either is as likely. Null where one"
        " side is unknown.",
        examples=[0.004],
    )
    loss_interval: Interval | None
    too_small: float | None = Field(description="Loss at a value k times smaller.")
    too_small_interval: Interval | None
    too_large: float | None = Field(description="Loss at a value k times larger.")
    too_large_interval: Interval | None
    reason: str = Field(description="Why a number is null; empty if none is.")


class Tolerance(Schema):
    """How far one positive hyperparameter may be off; independent of the range of the grid."""

    off_by: list[OffByFactor]
    epsilon: float = Field(description="Loss of score that ``width`` tolerates.")
    width: float = Field(
        description="W(eps): decades of values within epsilon of the selected one.",
        examples=[1.7],
    )
    width_interval: Interval | None
    width_is_lower_bound: bool = Field(
        description="Whether an end of the grid is within epsilon too, or a value has no score:"
        " the width may continue where nothing was tried."
    )
    decades_tried: float = Field(description="Decades that the grid spans.")


class AxisSummary(Schema):
    """How one optimizer depends on one hyperparameter; ``undefined`` says why a number is null."""

    title: str = Field(description="Display name.", examples=["momentum"])
    tolerance: Tolerance | None = Field(description="Of a grid with three or more positive values.")
    kind: Literal["number", "category"] | None = Field(
        description="A category (text, a list, true or false) has no order and no edge."
    )
    values: list[JsonValue] | None = Field(
        description="Listed values: numbers rising, categories in the order of the specification."
    )
    best: JsonValue = Field(description="Value of the selected configuration.")
    on_edge: bool | None = Field(description="Whether ``best`` is the smallest or largest tried.")
    curve: list[float | None] | None = Field(
        description="For each value the score of the configuration that validation selects among"
        " all others with it; null in the list where none has finished."
    )
    sensitivity: float | None = Field(
        description="Maximum less mean of the curve: the cost of a random value if all others are"
        " tuned."
    )
    sensitivity_interval: Interval | None
    sensitivity_val: float | None = Field(description="The same on validation scores.")
    sensitivity_marginal: float | None = Field(
        description="The same with the mean over all others instead of the selected ones."
    )
    regret: float | None = Field(
        description="Cost of a random value while all others stay where they are, on average over"
        " these."
    )
    regret_interval: Interval | None
    importance: float | None = Field(
        description="Share of the variance of the score that it explains alone (fANOVA)."
    )
    importance_interval: Interval | None
    interactions: dict[str, float | None] | None = Field(
        description="Share that it explains only together with one other, by the other; on a grid."
    )
    tunability: float | None = Field(
        description="Score gained over the default configuration if only this is tuned."
    )
    undefined: dict[str, str] = Field(
        description="Why a number is null, by its name.",
        examples=[{"sensitivity": "It has one value only."}],
    )


class AxisDifference(Schema):
    """Difference of how two optimizers depend on one hyperparameter."""

    value: float | None = Field(description="Null where it is undefined for either.")
    interval: Interval | None


class OnGridEdge(Schema):
    """Whether the best value is the smallest or largest tried: a better one may lie beyond.

    Null where the optimizer lacks the hyperparameter; ``axes`` of its summary has the others.
    """

    learning_rate: bool | None
    weight_decay: bool | None
