"""The sections of a specification: what to train, on what, how, and what to measure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from workers.catalog import datasets, models
from workers.corruptions.names import BENCHMARK_CORRUPTIONS, CORRUPTIONS
from workers.spec.fields import (
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
)

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

_LEAST_RESOURCE = 0.0001
"""Ray counts resources in whole multiples of it and fails with less than one."""


class _Named(Section):
    """A section that a plain name can stand for."""

    name: Name

    @model_validator(mode="before")
    @classmethod
    def _expand_plain_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class DatasetSpec(_Named):
    """The images, and which of them validate."""

    validation: Literal["test", "split"] = "test"
    """Validate on the test set (the paper's reading) or on a split of the training set."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.2
    """Share of the training set that a split takes."""
    train_size: Count | None = None
    """Use so many training images, class-balanced; all where absent."""
    test_size: Count | None = None
    """Use so many test images, class-balanced; all where absent."""
    seed: Seed = 0
    """Seed of the split and of the subsets."""
    placement: Literal["auto", "device", "host"] = "auto"
    """Keep the images on the accelerator, on the host, or on the accelerator when they fit."""
    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of the data set, such as ``image_size`` of an image folder."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return datasets.require(value)


class OodSpec(Section):
    """The corrupted test set."""

    corruptions: Literal["all", "benchmark"] | Unique[str] = "all"
    """All 19 corruptions, the 15 of the benchmark, or some by name."""
    severities: Unique[Annotated[int, Field(ge=1, le=5, strict=True)]] = (1, 2, 3, 4, 5)
    """Of each corruption, 1 the mildest."""
    images: Count | None = None
    """Corrupt so many test images, class-balanced; all where absent."""
    source: Literal["auto", "official", "generated"] = "auto"
    """Official files, images generated here, or the official files when they are there."""

    @field_validator("corruptions")
    @classmethod
    def _known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for position, name in enumerate(value if isinstance(value, tuple) else ()):
            if name not in CORRUPTIONS:
                known = ", ".join(CORRUPTIONS)
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

    kwargs: Keywords = Field(default_factory=dict)
    """Keyword arguments of the model, such as ``width``."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        return models.require(value)

    @model_validator(mode="after")
    def _known_kwargs(self) -> ModelSpec:
        allowed: tuple[str, ...] | None = models.entry(self.name).facts.get("kwargs")
        for key, value in self.kwargs.items():
            if allowed is not None and key not in allowed:
                known = ", ".join(allowed) or "none"
                message = f"unknown keyword of model {self.name} (known: {known})"
                raise PartError(("kwargs", key), message, value)
        return self


class TrainingSpec(Section):
    """How one trial trains."""

    epochs: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 200
    """Passes over the training images."""
    batch_size: Annotated[int, Field(ge=2, le=65_536, strict=True)] = 256
    """Images of a step; the last, smaller batch of an epoch is left out."""
    augmentation: Literal["none", "crop", "crop-flip", "randaugment"] = "crop"
    """Random changes of the training images: ``crop`` pads by 4 pixels and cuts."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that has it, fp32 elsewhere."""
    schedule: Literal["constant", "cosine", "step"] = "constant"
    """Schedule of the learning rate; the smoothness-adaptive methods take another than
    ``constant`` only when they are told to (``scheduled``)."""
    warmup_epochs: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 0
    """Epochs over which the learning rate rises from 0."""
    label_smoothing: Probability = 0.0
    """Share of a label that is spread over all classes, in training."""
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


class CurvatureSpec(Section):
    """How the Hessian of the mean cross-entropy is measured."""

    metrics: Unique[Literal["trace", "lambda_max"]] = ("trace", "lambda_max")
    """The trace of the Hessian, its largest eigenvalue."""
    splits: Unique[Split] = ("validation", "ood")
    """On which images the loss is taken."""
    images: Count = 2048
    """Images of each split, class-balanced and fixed."""
    every: Literal["end"] | Count = "end"
    """At the end, or every so many epochs too."""
    at_best: Flag = False
    """Measure at the epoch of the best validation accuracy too."""
    trace_method: Literal["hutchpp", "xtrace", "hutchinson"] = "hutchpp"
    """Estimator of the trace; ``hutchinson`` is the paper's."""
    trace_tolerance: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.02
    """Stop at this relative standard error."""
    eigenvalue_method: Literal["lanczos", "power"] = "lanczos"
    """Estimator of the eigenvalue; ``power`` is the paper's."""
    eigenvalue_tolerance: Annotated[float, Field(gt=0, lt=1, strict=True)] = 1e-3
    """Stop at this relative error."""
    max_matvecs: Annotated[int, Field(ge=3, le=100_000, strict=True)] = 200
    """Most Hessian-vector products a quantity may cost."""


class ResourcesSpec(Section):
    """What one trial occupies; what the cluster suggests where absent."""

    gpu: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False, strict=True)] | None = None
    """GPUs of a trial; a fraction shares one."""
    cpu: Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False, strict=True)] | None = None
    """CPU cores of a trial."""
    max_concurrent: Count | None = None
    """Most trials of this sweep at the same time."""

    @field_validator("gpu", "cpu")
    @classmethod
    def _countable(cls, value: float | None) -> float | None:
        if value is not None and 0 < value < _LEAST_RESOURCE:
            raise ValueError(
                f"must be 0 or at least {_LEAST_RESOURCE:g}, the unit that Ray counts in"
            )
        return None if value is None else value + 0.0  # -0.0 is 0

    @field_validator("gpu")
    @classmethod
    def _whole_above_one(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("must be a fraction of one GPU, or a whole number of GPUs")
        return value

    @model_validator(mode="after")
    def _something(self) -> ResourcesSpec:
        if self.cpu == 0 and self.gpu == 0:
            raise PartError(("cpu",), "must be above 0 where gpu is 0", self.cpu)
        return self


class LimitsSpec(Section):
    """When to give up."""

    trial_retries: Annotated[int, Field(ge=0, le=100, strict=True)] = 2
    """How often a failed trial is tried again, from its last checkpoint.

    The first retry comes after 2 s, each further one after twice the time, up to a minute; others
    run meanwhile. An exception that repeats itself after the same epoch is a bug that another try
    would meet again: its trial fails at the second one. Out of memory is not taken for a bug: it
    may pass when a neighbour on the device has ended.
    """
    consecutive_failures: Count = 10
    """The sweep fails after so many failed trials in a row."""
    wall_clock: Duration | None = None
    """The sweep is cancelled after this time, such as ``24h``."""
