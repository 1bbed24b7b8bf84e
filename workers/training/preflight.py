"""Preflight: checks before any trial starts whether a sweep's trials can run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.datasets import DatasetError
from workers.models import build_model, count_parameters
from workers.optimizers import build_optimizer
from workers.spec import SpecError, SpecProblem, SweepSpec
from workers.training.code_check import require_importable
from workers.training.facts import PreflightFacts
from workers.training.memory import (
    TooLargeError,
    TrialMemory,
    available_bytes,
    estimate_memory,
    gibibytes,
    host_bytes,
    measure_memory,
)
from workers.training.rehearsal import rehearse
from workers.training.trial import autocast_dtype
from workers.trial_data import TrialData, load_trial_data

__all__ = ["preflight"]

log = logging.getLogger(__name__)


def preflight(
    spec: SweepSpec,
    *,
    data_dir: Path,
    cache_dir: Path,
    largest_node_bytes: Callable[[], float] | None = None,
) -> PreflightFacts:
    """Load the data, build the network and every optimizer, and rehearse a trial.

    Missing corrupted images are generated here, once, instead of by the first trials. The network
    is built only if its estimated memory is available.

    Args:
        spec: The sweep.
        data_dir: Folder with the data sets.
        cache_dir: Folder for subsets and generated images.
        largest_node_bytes: Returns the memory of the cluster's largest node, in bytes; called if
            this machine has too little. None if trials run on this machine.

    Returns:
        Facts about the sweep; notes on the data are also logged as warnings.

    Raises:
        SpecError: The trials cannot run, with the key in the specification and the remedy.
    """
    require_importable(spec)
    try:
        data = load_trial_data(
            spec.dataset, spec.ood, data_dir=data_dir, cache_dir=cache_dir, files=spec.files
        )
    except DatasetError as absolute:
        error = absolute.within(data_dir)  # submitters see the message, but not the machine's paths
        problem = SpecProblem(error.key, f"{error.problem}; {error.remedy}", spec.dataset.name)
        raise SpecError([problem]) from absolute
    for note in data.notes:
        log.warning("data set %s: %s", spec.dataset.name, note)
    problems = [*_batch_problems(spec, data)]
    value_bytes = _activation_bytes(spec)
    try:
        memory = estimate_memory(
            spec,
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
            value_bytes=value_bytes,
        )
    except TooLargeError as error:
        problem = SpecProblem("model", f"the network is too large: {error}", spec.model.name)
        raise SpecError([*problems, problem]) from error
    if memory is not None:
        lacking = [*_memory_problems(spec, memory, largest_node_bytes)]
        if lacking:
            raise SpecError([*problems, *lacking])
    try:
        model = build_model(
            spec.model,
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
            files=spec.files,
        )
        memory = _measure(spec, model, data, value_bytes)
        hessian_method = rehearse(
            model,
            data,
            channels_last=spec.training.channels_last,
            measures_curvature=spec.curvature is not None,
        )
    except ValueError as error:
        raise SpecError([*problems, SpecProblem("model", str(error), spec.model.name)]) from error
    problems += [
        *_optimizer_problems(spec, model),
        *_memory_problems(spec, memory, largest_node_bytes),
    ]
    if problems:
        raise SpecError(problems)
    return PreflightFacts(
        hessian_method=hessian_method,
        parameters=count_parameters(model),
        train_images=len(data.train),
        validation_images=len(data.validation),
        ood_images=0 if data.ood is None else len(data.ood) * len(data.ood.labels),
        classes=data.num_classes,
        data_fingerprint=data.fingerprint,
        data_notes=data.notes,
        trial_memory_bytes=memory.total + data.size_bytes,
    )


def _batch_problems(spec: SweepSpec, data: TrialData) -> Iterator[SpecProblem]:
    """Compare the batch size with the number of training images."""
    batch_size, images = spec.training.batch_size, len(data.train)
    if batch_size > images:
        yield SpecProblem(
            "training.batch_size",
            f"at most the {images} training images; make batches smaller or dataset.train_size "
            "larger",
            str(batch_size),
        )


def _optimizer_problems(spec: SweepSpec, model: nn.Module) -> Iterator[SpecProblem]:
    """Build the optimizer of every trial; yield the first problem."""
    for trial in spec.trials or spec.corners:
        try:
            build_optimizer(trial, model)
        except ValueError as error:
            position = spec.optimizers.index(trial.optimizer)
            yield SpecProblem(f"optimizers[{position}]", str(error), trial.optimizer.name)
            return


def _memory_problems(
    spec: SweepSpec, memory: TrialMemory, largest_node_bytes: Callable[[], float] | None
) -> Iterator[SpecProblem]:
    """Compare a trial's memory with the machine's, before the operating system kills the trial."""
    available: float = available_bytes(spec.resources)
    if memory.total > available and largest_node_bytes is not None:
        available = max(available, largest_node_bytes())
    if memory.weights > host_bytes():  # the network is built on the host first
        available = min(available, host_bytes())
    if memory.total > available:
        is_batch = memory.activations > memory.total - memory.activations
        yield SpecProblem(
            "training.batch_size" if is_batch else "model",
            f"a trial needs at least {memory}, available are {gibibytes(available)}; make batches "
            "or the network smaller",
            str(spec.training.batch_size) if is_batch else spec.model.name,
        )


def _activation_bytes(spec: SweepSpec) -> int:
    """Bytes of one value of an activation in training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = autocast_dtype(spec.training.precision, device)
    return torch.float32.itemsize if dtype is None else dtype.itemsize


def _measure(spec: SweepSpec, model: nn.Module, data: TrialData, value_bytes: int) -> TrialMemory:
    """Measure a trial's memory with a forward pass over two images of zeros.

    Raises:
        ValueError: The network cannot take the images, or does not have one output per class.
    """
    shape = (2, data.in_channels, data.image_size, data.image_size)
    outputs: list[Any] = []
    hook = model.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    try:
        memory = measure_memory(spec, model.train(), torch.zeros(shape), value_bytes=value_bytes)
    except Exception as error:  # the network may be of any library
        size = f"{shape[1]} x {shape[2]} x {shape[3]}"
        raise ValueError(f"the network cannot take images of {size}: {error}") from error
    finally:
        hook.remove()
    logits = outputs[-1]
    if not isinstance(logits, Tensor) or logits.shape != (2, data.num_classes):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the network returns {got} in training for 2 images of {data.num_classes} classes"
        )
    return memory
