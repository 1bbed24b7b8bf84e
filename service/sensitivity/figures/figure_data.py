"""The data of a figure, computed before anything is drawn."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from service.sensitivity.errors import InvalidOptionError
from service.sensitivity.hyperparameters import value_datum
from service.sensitivity.trial_table import TrialTable
from workers.scores import SCORES, Score
from workers.spec.configuration import Value

__all__ = [
    "Datum",
    "FigureData",
    "Scalar",
    "metric_of",
    "of_workload",
    "rate_and_decay",
    "require_option",
    "score_of",
    "score_scales",
]

Scalar = str | bool | int | float | None
Datum = dict[str, Scalar]
"""One mark of a figure (a cell, a bar, a point) by field."""


class FigureData(BaseModel):
    """The data of one figure: flat records with the same fields, and the scales they share.

    Attributes:
        name: The figure ("best", "trace-heatmap").
        title: Its title.
        notes: Remarks printed under the title.
        records: One per mark (a cell, a bar, a point). Numbers are finite, accuracies fractions.
        scales: Domains, chance and axis values that all panels share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(examples=["accuracy-heatmap"])
    title: str
    notes: list[str] = []
    records: list[Datum]
    scales: dict[str, Scalar | list[Scalar]] = {}

    def scale(self, name: str) -> float:
        """A number in ``scales``."""
        value = self.scales[name]
        if not isinstance(value, int | float):
            raise TypeError(f"scale {name!r} is {value!r}, not a number")
        return float(value)

    def values(self, field: str) -> list[Scalar]:
        """The distinct values of a field in the order of their first record."""
        return list(dict.fromkeys(record[field] for record in self.records))

    def where(self, **fields: Scalar) -> list[Datum]:
        """The records with these values."""
        return [
            record
            for record in self.records
            if all(record[name] == value for name, value in fields.items())
        ]


def metric_of(table: TrialTable, split: str | None = None) -> str:
    """Name of the metric of the score on a split, by default that of the evaluation."""
    on_ood = table.has_ood if split is None else split == "ood"
    return table.score.ood_metric if on_ood else table.score.val_metric


def of_workload(table: TrialTable) -> str:
    """The workload as the end of a title."""
    return f", {table.workload}" if table.workload else ""


def score_scales(table: TrialTable) -> dict[str, Scalar | list[Scalar]]:
    """What figures of scores share: the name of the score, and its value of a uniform guess."""
    return {"score": table.score.name, "chance": table.guess}


def score_of(figure: FigureData) -> Score:
    """The score that a figure shows."""
    return SCORES["loss" if figure.scales.get("score") == "loss" else "accuracy"]


def rate_and_decay(configuration: Mapping[str, Value]) -> Datum:
    """Learning rate and weight decay of a configuration; null where the search varies neither."""
    names = ("learning_rate", "weight_decay")
    return {
        name: value_datum(configuration[name]) if name in configuration else None for name in names
    }


def require_option(option: str, got: str, allowed: tuple[str, ...]) -> None:
    """Check the value of an option.

    Raises:
        InvalidOptionError: It is not one of ``allowed``.
    """
    if got not in allowed:
        raise InvalidOptionError(f"invalid_{option}", f"{option} cannot be {got!r}.", allowed)
