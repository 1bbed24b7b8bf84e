"""What all schemas of summaries share: strictness, finite numbers, intervals."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.sensitivity.optimizer_trials import Floats

__all__ = ["Interval", "Schema", "finite"]


class Schema(BaseModel):
    """Strict, immutable, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(Schema):
    """A 95 % confidence interval; ``ci_method`` of the summary says how it was made."""

    low: float = Field(examples=[0.7183])
    high: float = Field(examples=[0.7199])
    estimate: float | None = Field(
        default=None,
        description="The number corrected for what seed noise adds to it (noise lifts a maximum);"
        " null for a rate, which needs none.",
        examples=[0.7189],
    )


def finite(value: float | Floats | None) -> float | None:
    """A number for JSON: None for NaN and infinity."""
    return float(value) if value is not None and np.isfinite(value) else None
