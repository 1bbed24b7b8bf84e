"""Schemas of the configuration that validation selects."""

from pydantic import Field, JsonValue

from service.sensitivity.axis_schemas import OnGridEdge
from service.sensitivity.strict_schema import Interval, Schema

__all__ = [
    "BestConfig",
    "Calibration",
    "CurvatureValue",
]


class CurvatureValue(Schema):
    """Curvature at one configuration: the median over its surviving seeds, and their range."""

    value: float
    low: float = Field(description="Smallest over seeds.")
    high: float = Field(description="Largest over seeds.")
    n_seeds: int
    standard_error: float | None = Field(
        default=None,
        description="Of the trace estimate: the median over seeds; null for lambda_max.",
    )


class Calibration(Schema):
    """How far predicted probabilities can be believed; means over the completed seeds.

    The definitions are in ``workers.calibration``. Lower is better.
    """

    nll: float | None = Field(description="Mean negative log-likelihood: the loss.")
    brier: float | None = Field(description="Brier score, 0 to 2.")
    ece: float | None = Field(description="Expected calibration error, 15 equal-width bins.")


class BestConfig(Schema):
    """The configuration that validation selects, and its measurements."""

    learning_rate: float | None = Field(
        description="Null where the search does not vary it.", examples=[0.01]
    )
    weight_decay: float | None = Field(
        description="Null where the search does not vary it.", examples=[1e-4]
    )
    on_grid_edge: OnGridEdge
    val_score: float = Field(examples=[0.938])
    val_score_interval: Interval | None
    ood_score: float | None = Field(examples=[0.739])
    ood_score_interval: Interval | None
    val_accuracy: float | None = Field(
        description="``val_score`` if the score is accuracy, else the mean over the completed"
        " trials, without an interval.",
        examples=[0.938],
    )
    val_accuracy_interval: Interval | None
    raised_to_chance: list[str] = Field(
        default=[],
        description="Metrics of the score to which a trial worse than a guess contributes, which"
        " counts as chance.",
        examples=[["val_accuracy"]],
    )
    ood_accuracy: float | None = Field(examples=[0.739])
    ood_accuracy_interval: Interval | None
    val_loss: float | None
    ood_loss: float | None
    calibration: dict[str, Calibration] = Field(
        default={},
        description="By split, where measured; that of OOD is the mean over the corrupted sets.",
    )
    hessian_trace: dict[str, CurvatureValue] = Field(description="Tr(H) by split.")
    hessian_lambda_max: dict[str, CurvatureValue] = Field(
        description="Largest eigenvalue by split."
    )
    learned: bool = Field(
        description="Made at least half of the best optimizer's progress over chance; otherwise"
        " flatness is trivial."
    )
    n_seeds: int
    hyperparameters: dict[str, JsonValue] = Field(
        description="Value of each hyperparameter that the search varies.",
        examples=[{"learning_rate": 0.01, "weight_decay": 1e-4, "optimizer.momentum": 0.9}],
    )
