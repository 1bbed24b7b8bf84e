"""Schemas of the dependence on single hyperparameters."""

from typing import Literal

from pydantic import Field, JsonValue

from service.sensitivity.strict_schema import Interval, Schema

__all__ = ["AxisSummary", "OnGridEdge"]


class AxisSummary(Schema):
    """How one optimizer depends on one hyperparameter; ``undefined`` says why a number is null."""

    title: str = Field(description="Display name.", examples=["momentum"])
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
        description="Accuracy gained over the default configuration if only this is tuned."
    )
    undefined: dict[str, str] = Field(
        description="Why a number is null, by its name.",
        examples=[{"sensitivity": "It has one value only."}],
    )


class OnGridEdge(Schema):
    """Whether the best value is the smallest or largest tried: a better one may lie beyond.

    Null where the optimizer lacks the hyperparameter; ``axes`` of its summary has the others.
    """

    learning_rate: bool | None
    weight_decay: bool | None
