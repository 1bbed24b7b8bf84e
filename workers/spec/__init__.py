"""The specification of a sweep: read, checked, and expanded to trials.

Nothing here imports torch or Ray: the service and the cluster read the same model.
"""

from workers.spec.errors import SpecError, SpecProblem
from workers.spec.fields import duration_seconds
from workers.spec.loading import load_spec, read_stored, validate_spec
from workers.spec.parsing import parse_spec
from workers.spec.search import (
    AshaSpec,
    Configuration,
    Direction,
    GridSearch,
    Objective,
    RandomSearch,
    Range,
    TpeSearch,
)
from workers.spec.sections import (
    CurvatureSpec,
    DatasetSpec,
    LimitsSpec,
    ModelSpec,
    OodSpec,
    ResourcesSpec,
    TrainingSpec,
)
from workers.spec.sweep import SweepSpec
from workers.spec.trial import TrialConfig

__all__ = [
    "AshaSpec",
    "Configuration",
    "CurvatureSpec",
    "DatasetSpec",
    "Direction",
    "GridSearch",
    "LimitsSpec",
    "ModelSpec",
    "Objective",
    "OodSpec",
    "RandomSearch",
    "Range",
    "ResourcesSpec",
    "SpecError",
    "SpecProblem",
    "SweepSpec",
    "TpeSearch",
    "TrainingSpec",
    "TrialConfig",
    "duration_seconds",
    "load_spec",
    "parse_spec",
    "read_stored",
    "validate_spec",
]
