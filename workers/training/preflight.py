"""Finds out before any trial starts whether a sweep's trials can run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.batches import TrialData, load_data
from workers.changes import DATA_FINGERPRINT
from workers.datasets import DatasetError
from workers.models import build_model, count_parameters
from workers.optimizers import build_optimizer
from workers.spec import SpecError, SpecProblem, SweepSpec
from workers.training.rehearsal import rehearse

__all__ = ["preflight"]

# Copies of the weights that training holds at most: weights, gradient, the gradient before, former
# and restored weights (SA-SAM).
_WEIGHT_COPIES = 5


def preflight(spec: SweepSpec, *, data_dir: Path, cache_dir: Path) -> Mapping[str, Any]:
    """Load the data, build the network and every optimizer, and rehearse what trials do.

    Corrupted images that are not there yet are made here, once, and not by the first trials.

    Returns:
        Facts about the sweep: numbers of weights, of images and of classes, the memory that a trial
        needs for weights, activations and images, what tells the data from others, and
        ``hessian_method``, "exact" or "differences", where curvature is measured.

    Raises:
        SpecError: Something cannot work, with its key in the specification and the remedy.
    """
    try:
        data = load_data(spec.dataset, spec.ood, data_dir=data_dir, cache_dir=cache_dir)
    except DatasetError as error:
        problem = SpecProblem(error.key, f"{error.problem}; {error.remedy}", spec.dataset.name)
        raise SpecError([problem]) from error
    problems = [*_batch_problems(spec, data)]
    try:
        model = build_model(
            spec.model,
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
        )
        activation_bytes = _bytes_per_image(model, data) * spec.training.batch_size
        hessian_method = rehearse(
            model,
            data,
            channels_last=spec.training.channels_last,
            measures_curvature=spec.curvature is not None,
        )
    except ValueError as error:
        raise SpecError([*problems, SpecProblem("model", str(error), spec.model.name)]) from error
    weight_bytes = 4 * count_parameters(model) * _WEIGHT_COPIES
    problems += [
        *_optimizer_problems(spec, model),
        *_memory_problems(activation_bytes, weight_bytes),
    ]
    if problems:
        raise SpecError(problems)
    facts = {} if hessian_method is None else {"hessian_method": hessian_method}
    return facts | {
        "parameters": count_parameters(model),
        "train_images": len(data.train),
        "validation_images": len(data.validation),
        "ood_images": 0 if data.ood is None else len(data.ood) * len(data.ood.labels),
        "classes": data.num_classes,
        DATA_FINGERPRINT: data.fingerprint,
        "trial_memory_bytes": activation_bytes + weight_bytes + data.size_bytes,
    }


def _batch_problems(spec: SweepSpec, data: TrialData) -> Iterator[SpecProblem]:
    batch_size, images = spec.training.batch_size, len(data.train)
    if batch_size > images:
        yield SpecProblem(
            "training.batch_size",
            f"at most the {images} training images; make batches smaller or dataset.train_size "
            "larger",
            str(batch_size),
        )


def _optimizer_problems(spec: SweepSpec, model: nn.Module) -> Iterator[SpecProblem]:
    for trial in spec.trials or spec.corners:
        try:
            build_optimizer(trial, model)
        except ValueError as error:
            position = spec.optimizers.index(trial.optimizer)
            yield SpecProblem(f"optimizers[{position}]", str(error), trial.optimizer.name)
            return


def _memory_problems(activation_bytes: int, weight_bytes: int) -> Iterator[SpecProblem]:
    """Compare with the machine this runs on, whose like the trials run on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = activation_bytes + weight_bytes
    if torch.cuda.is_available():
        memory = max(memory, torch.cuda.get_device_properties(0).total_memory)
    if needed > memory:
        key = "training.batch_size" if activation_bytes > weight_bytes else "model"
        yield SpecProblem(
            key,
            f"a trial needs about {needed / 2**30:.1f} GiB for activations and weights, the "
            f"machine has {memory / 2**30:.1f}; make batches or the network smaller",
            f"{activation_bytes / 2**30:.1f} + {weight_bytes / 2**30:.1f} GiB",
        )


def _bytes_per_image(model: nn.Module, data: TrialData) -> int:
    """Bytes that a training pass keeps for each image; a pass over two images of zeros finds it.

    Raises:
        ValueError: The network cannot take the images, or has no output for each class.
    """
    shape = (2, data.in_channels, data.image_size, data.image_size)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter):
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = model.train()(torch.zeros(shape))
    except Exception as error:  # the network may be of any library
        size = f"{shape[1]} x {shape[2]} x {shape[3]}"
        raise ValueError(f"the network cannot take images of {size}: {error}") from error
    if not isinstance(logits, Tensor) or logits.shape != (2, data.num_classes):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"the network returns {got} in training for 2 images of {data.num_classes} classes"
        )
    return sum(size for pointer, size in kept.items() if pointer not in weights) // 2
