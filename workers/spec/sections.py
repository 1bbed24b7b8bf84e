"""Sections of a specification: data set, model, training, curvature, resources, limits."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from workers.catalog import datasets, models
from workers.catalog.catalog import Catalog
from workers.corruptions.names import BENCHMARK_CORRUPTIONS, CORRUPTIONS
from workers.spec.fields import (
    KEPT_INTEGER,
    KEPT_NUMBER,
    Count,
    Duration,
    Flag,
    Keywords,
    Name,
    PartError,
    Positive,
    Probability,
    Section,
    Seed,
    Unique,
    is_stored,
    without_duplicates,
)
from workers.tasks import TEXT_SHIFTS

__all__ = [
    "CurvatureSpec",
    "DatasetSpec",
    "LimitsSpec",
    "ModelSpec",
    "OodSpec",
    "ResourcesSpec",
    "TrainingSpec",
]

Split = Literal["validation", "ood"]

_MIN_RESOURCE = 0.0001
"""Unit of Ray's resources: Ray fails for smaller amounts."""


_Gpus = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False, strict=True), KEPT_NUMBER]
_Cpus = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False, strict=True), KEPT_NUMBER]


def _offer_names(schema: dict[str, Any], section: type[_Named]) -> None:
    """Add the known names as examples, which editors offer."""
    schema["properties"]["name"]["examples"] = [*section.catalog.entries()]


class _Named(Section):
    """A section that can be given as a plain name of a catalog."""

    model_config = ConfigDict(json_schema_extra=_offer_names)
    catalog: ClassVar[Catalog]

    name: Name

    @model_validator(mode="before")
    @classmethod
    def _expand_plain_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return cls.catalog.require(value)


class DatasetSpec(_Named):
    """The images and their split."""

    catalog = datasets

    validation: Literal["test", "split"] = "test"
    """Validate on the test set (the paper's reading) or on a split of the training set."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.2
    """Share of the training set that a split takes."""
    train_size: Count | None = None
    """Number of training images, class-balanced; all if absent."""
    test_size: Count | None = None
    """Number of test images, class-balanced; all if absent."""
    seed: Seed = 0
    """Seed of the split and of the subsets."""
    placement: Literal["auto", "device", "host"] = "auto"
    """Keep the images on the accelerator, on the host, or on the accelerator if they fit."""
    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of the data set, such as ``image_size`` of an image folder."""
    test_sets: Annotated[
        tuple[Name, ...], AfterValidator(without_duplicates), Field(exclude_if=not_)
    ] = ()
    """Further published test sets of its classes, each with a score of its own at the end."""

    @model_validator(mode="after")
    def _known_test_sets(self, info: ValidationInfo) -> DatasetSpec:
        for position, name in enumerate(() if is_stored(info) else self.test_sets):
            allowed = datasets.facts(self.name).get("test_sets", ())
            if name not in allowed:
                known = ", ".join(allowed) or "none"
                message = f"unknown test set of data set {self.name} (known: {known})"
                raise PartError(("test_sets", position), message, name)
        return self


class OodSpec(Section):
    """The test sets out of distribution: corrupted images, or texts of another distribution."""

    corruptions: Literal["all", "benchmark"] | Unique[str] = "all"
    """All 19 corruptions, the 15 of the benchmark, or some by name; of a text data set all its OOD
    sets, or some by name."""
    severities: Unique[Annotated[int, Field(ge=1, le=5, strict=True)]] = (1, 2, 3, 4, 5)
    """Severities of each corruption; 1 is the mildest."""
    images: Count | None = None
    """Number of test images, class-balanced, or sequences, of each; all if absent."""
    source: Literal["auto", "official", "generated"] = "auto"
    """Official files, generated images, or the official files if available."""

    @field_validator("corruptions")
    @classmethod
    def _known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for position, name in enumerate(value if isinstance(value, tuple) else ()):
            if name not in (*CORRUPTIONS, *TEXT_SHIFTS):
                known = ", ".join((*CORRUPTIONS, *TEXT_SHIFTS))
                message = f"unknown corruption {name!r} (known: {known})"
                raise PartError((position,), message, name)
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions by name."""
        if isinstance(self.corruptions, tuple):
            return self.corruptions
        return CORRUPTIONS if self.corruptions == "all" else BENCHMARK_CORRUPTIONS


class ModelSpec(_Named):
    """The network."""

    catalog = models

    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of the model, such as ``width``."""

    @model_validator(mode="after")
    def _known_kwargs(self, info: ValidationInfo) -> ModelSpec:
        for key, value in () if is_stored(info) else self.kwargs.items():
            if message := self.keyword_flaw(key):
                raise PartError(("kwargs", key), message, value)
        return self

    def keyword_flaw(self, key: str) -> str | None:
        """What is wrong with the name of a keyword argument; None if the network may take it."""
        allowed: tuple[str, ...] | None = models.entry(self.name).facts.get("kwargs")
        if allowed is None or key in allowed:
            return None
        known = ", ".join(allowed) or "none"
        return f"unknown keyword of model {self.name} (known: {known})"


class TrainingSpec(Section):
    """How one trial trains."""

    epochs: Annotated[int, Field(ge=1, le=100_000, strict=True), KEPT_INTEGER] = 200
    """Passes over the training images."""
    batch_size: Annotated[int, Field(ge=2, le=65_536, strict=True), KEPT_INTEGER] = 256
    """Images per step; the last, smaller batch of an epoch is left out."""
    augmentation: Literal["none", "crop", "crop-flip", "randaugment"] = "crop"
    """Random changes of the training images: ``crop`` pads by 4 pixels and cuts."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that supports it, fp32 elsewhere."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """Schedule of the learning rate; the smoothness-adaptive methods need ``scheduled`` for
    another one than ``constant``."""
    warmup_epochs: Annotated[int, Field(ge=0, le=100_000, strict=True), KEPT_INTEGER] = 0
    """Epochs over which the learning rate rises from 0."""
    label_smoothing: Probability = 0.0
    """Share of a training label that is spread over all classes."""
    gradient_clipping: Positive | None = None
    """Largest norm of the gradient that the base step takes."""
    channels_last: Flag = True
    """Lay images out with the channels last, which is faster on most devices."""
    compile: Flag = False
    """Compile the model with ``torch.compile``."""
    checkpoint_every: Count = 1
    """Epochs between two checkpoints."""

    @model_validator(mode="after")
    def _warm_up_ends(self) -> TrainingSpec:
        if self.warmup_epochs >= self.epochs:
            raise PartError(
                ("warmup_epochs",), f"must be below epochs, {self.epochs}", self.warmup_epochs
            )
        return self


CurvatureQuantity = Literal[
    "trace",
    "lambda_max",
    "critical_sharpness",
    "stability_ratio",
    "worst_case_sharpness",
    "average_case_sharpness",
    "gradient_noise_scale",
]


class CurvatureSpec(Section):
    """How the curvature of the mean cross-entropy is measured."""

    metrics: Unique[CurvatureQuantity] = ("trace", "lambda_max")
    """The trace of the Hessian and its largest eigenvalue, on ``splits``; on training images also
    the ratio of the step size to its stability limit, adaptive m-sharpness, the gradient noise
    scale, and, after every epoch, the critical sharpness along the last update."""
    splits: Unique[Split] = ("validation", "ood")
    """Images on which trace and eigenvalue are computed."""
    images: Count = 2048
    """Number of images per split, class-balanced and fixed."""
    every: Literal["end"] | Count = "end"
    """Measure at the end, or also every so many epochs."""
    at_best: Flag = False
    """Also measure at the epoch with the best validation score."""
    trace_method: Literal["hutchpp", "xtrace", "hutchinson"] = "hutchpp"
    """Estimator of the trace; ``hutchinson`` is the paper's."""
    trace_tolerance: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.02
    """Stop at this relative standard error."""
    eigenvalue_method: Literal["lanczos", "power"] = "lanczos"
    """Estimator of the eigenvalue; ``power`` is the paper's."""
    eigenvalue_tolerance: Annotated[float, Field(gt=0, lt=1, strict=True)] = 1e-3
    """Stop at this relative error."""
    max_matvecs: Annotated[int, Field(ge=3, le=100_000, strict=True), KEPT_INTEGER] = 200
    """Maximum number of Hessian-vector products per quantity."""
    sharpness_images: Annotated[Count, Field(exclude_if=lambda images: images == 1024)] = 1024
    """Training images of m-sharpness, in batches of 128."""
    worst_case_radius: Annotated[Positive, Field(exclude_if=lambda rho: rho == 0.002)] = 0.002
    """Largest change of each weight relative to its magnitude, for ``worst_case_sharpness``."""
    average_case_radius: Annotated[Positive, Field(exclude_if=lambda rho: rho == 0.1)] = 0.1
    """Standard deviation of the change of each weight relative to its magnitude, for
    ``average_case_sharpness``."""

    def measures(self, *quantities: CurvatureQuantity) -> bool:
        """Whether any of these quantities is measured."""
        return not set(quantities).isdisjoint(self.metrics)


class ResourcesSpec(Section):
    """Resources of one trial; chosen by the cluster if absent."""

    gpu: _Gpus | None = None
    """GPUs of a trial; a fraction shares one GPU."""
    cpu: _Cpus | None = None
    """CPU cores of a trial."""
    max_concurrent: Count | None = None
    """Maximum number of trials of this sweep at the same time."""

    @field_validator("gpu", "cpu")
    @classmethod
    def _countable(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and 0 < value < _MIN_RESOURCE and not is_stored(info):
            raise ValueError(
                f"must be 0 or at least {_MIN_RESOURCE:g}, the unit that Ray counts in"
            )
        return None if value is None else value + 0.0  # -0.0 is 0

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("must be a fraction of one GPU, or a whole number of GPUs")
        return value

    @model_validator(mode="after")
    def _something(self, info: ValidationInfo) -> ResourcesSpec:
        if self.cpu == 0 and self.gpu == 0 and not is_stored(info):
            raise PartError(("cpu",), "must be above 0 where gpu is 0", self.cpu)
        return self


class LimitsSpec(Section):
    """Retries and limits."""

    trial_retries: Annotated[int, Field(ge=0, le=100, strict=True), KEPT_INTEGER] = 2
    """Maximum number of retries of a failed trial, from its last checkpoint.

    The first retry starts after 2 s, each further one after twice the pause, up to a minute; other
    trials run meanwhile. An exception that repeats after the same epoch counts as a bug, and the
    trial fails. Out of memory does not count as a bug: it may pass when another trial on the device
    has ended.
    """
    consecutive_failures: Count = 10
    """The sweep fails after so many consecutive failed trials."""
    wall_clock: Duration | None = None
    """The sweep is cancelled after this time, such as ``24h``."""
