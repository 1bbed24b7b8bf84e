"""How a sweep chooses its configurations."""

from __future__ import annotations

from itertools import product
from typing import Literal

from workers.spec.fields import NonNegative, Positive, Section, Unique

__all__ = ["GridSearch", "SearchSpec"]


class GridSearch(Section):
    """Every learning rate with every weight decay; the defaults are the paper's grid."""

    type: Literal["grid"] = "grid"
    learning_rate: Unique[Positive] = (1e-4, 1e-3, 1e-2, 1e-1)
    weight_decay: Unique[NonNegative] = (0.0, 1e-8, 1e-6, 1e-4)

    @property
    def configuration_count(self) -> int:
        """How many cells the grid has."""
        return len(self.learning_rate) * len(self.weight_decay)

    def configurations(self) -> list[tuple[float, float]]:
        """(learning rate, weight decay) of every cell."""
        return list(product(self.learning_rate, self.weight_decay))


SearchSpec = GridSearch
