"""``Repaired``: the result of rebuilding sweeps or trials from MLflow."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Repaired"]


class Repaired(BaseModel):
    """The result of a repair.

    Attributes:
        sweeps: Ids of the sweeps whose trials were rebuilt.
        trials: Number of trials that MLflow has of them.
        problems: Why a sweep could not be restored.
    """

    model_config = ConfigDict(frozen=True)

    sweeps: list[str]
    trials: int
    problems: list[str] = []
