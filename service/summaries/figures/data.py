"""What a figure shows, before anything is drawn."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from service.summaries.table import TrialTable

__all__ = ["FigureData", "Record", "Scalar", "of_workload"]

Scalar = str | bool | int | float | None
Record = dict[str, Scalar]


class FigureData(BaseModel):
    """The data of one figure: flat records with the same fields, and what a drawing needs beside.

    Attributes:
        name: The figure ("best", "trace-heatmap").
        title: Its title.
        notes: What a reader must know; printed under the title.
        records: One mark (a cell, a bar, a point) each. Numbers are finite, accuracies fractions.
        scales: Shared by all panels: domains, chance, axis values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(examples=["accuracy-heatmap"])
    title: str
    notes: list[str] = []
    records: list[Record]
    scales: dict[str, Scalar | list[Scalar]] = {}

    def scale(self, name: str) -> float:
        """A number of ``scales``."""
        value = self.scales[name]
        if not isinstance(value, int | float):
            raise TypeError(f"scale {name!r} is {value!r}, not a number")
        return float(value)

    def values(self, field: str) -> list[Scalar]:
        """The distinct values of a field in the order they first come."""
        return list(dict.fromkeys(record[field] for record in self.records))

    def where(self, **fields: Scalar) -> list[Record]:
        """The records that have these values."""
        wanted: Mapping[str, Scalar] = fields
        return [
            record
            for record in self.records
            if all(record[name] == value for name, value in wanted.items())
        ]


def of_workload(table: TrialTable) -> str:
    """The workload as the end of a title."""
    return f", {table.workload}" if table.workload else ""
