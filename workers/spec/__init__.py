"""The specification of a sweep: read, checked, and expanded to trials.

Nothing here imports torch or Ray: the service and the cluster read the same model.
"""

from workers.spec.axes import Axis
from workers.spec.code import code_names, describe_location, with_files
from workers.spec.configuration import Configuration, Value
from workers.spec.errors import SpecError, SpecProblem
from workers.spec.fields import duration_seconds
from workers.spec.loading import load_spec, read_stored, stored_score, validate_spec
from workers.spec.parsing import parse_spec
from workers.spec.ranges import Range
from workers.spec.search import (
    AshaSpec,
    Direction,
    GridSearch,
    Objective,
    RandomSearch,
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
from workers.spec.spaces import Space
from workers.spec.sweep import SweepSpec
from workers.spec.trial import TrialConfig

__all__ = [
    "AshaSpec",
    "Axis",
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
    "Space",
    "SpecError",
    "SpecProblem",
    "SweepSpec",
    "TpeSearch",
    "TrainingSpec",
    "TrialConfig",
    "Value",
    "code_names",
    "describe_location",
    "duration_seconds",
    "load_spec",
    "parse_spec",
    "read_stored",
    "stored_score",
    "validate_spec",
    "with_files",
]
