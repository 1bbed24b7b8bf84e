"""Finds out before any trial starts whether a sweep's trials can run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workers.batches import TrialData, load_data
from workers.datasets import DatasetError
from workers.models import build_model, count_parameters
from workers.optimizers import build_optimizer
from workers.spec import SpecError, SpecProblem, SweepSpec

__all__ = ["preflight"]


def preflight(spec: SweepSpec, *, data_dir: Path, cache_dir: Path) -> Mapping[str, Any]:
    """Load the data, build the network and every optimizer, and make one forward pass.

    Corrupted images that are not there yet are made here, once, and not by the first trials.

    Returns:
        Facts about the sweep: numbers of weights, of images and of classes.

    Raises:
        SpecError: Something cannot work, with its key in the specification and the remedy.
    """
    try:
        data = load_data(spec.dataset, spec.ood, data_dir=data_dir, cache_dir=cache_dir)
    except DatasetError as error:
        problem = SpecProblem(error.key, f"{error.problem}; {error.remedy}", spec.dataset.name)
        raise SpecError([problem]) from error
    problems = [*_training_problems(spec, data)]
    try:
        model = build_model(
            spec.model,
            num_classes=data.num_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
        )
        _check_forward(model, data)
    except ValueError as error:
        raise SpecError([*problems, SpecProblem("model", str(error), spec.model.name)]) from error
    for position, trial in enumerate(spec.trials[: len(spec.optimizers)]):
        try:
            build_optimizer(trial, model)
        except ValueError as error:
            path = f"optimizers[{position}]"
            problems.append(SpecProblem(path, str(error), trial.optimizer.name))
    if problems:
        raise SpecError(problems)
    return {
        "parameters": count_parameters(model),
        "train_images": len(data.train),
        "validation_images": len(data.validation),
        "ood_images": 0 if data.ood is None else len(data.ood) * len(data.ood.labels),
        "classes": data.num_classes,
    }


def _training_problems(spec: SweepSpec, data: TrialData) -> list[SpecProblem]:
    problems = []
    batch_size, images = spec.training.batch_size, len(data.train)
    if batch_size > images:
        message = f"a batch must not be larger than the {images} training images"
        problems.append(SpecProblem("training.batch_size", message, str(batch_size)))
    return problems


def _check_forward(model: torch.nn.Module, data: TrialData) -> None:
    """Run two images of zeros through the network."""
    shape = (2, data.in_channels, data.image_size, data.image_size)
    try:
        with torch.no_grad():
            logits = model(torch.zeros(shape))
    except (AssertionError, IndexError, RuntimeError, TypeError) as error:
        size = f"{shape[1]} x {shape[2]} x {shape[3]}"
        raise ValueError(f"the network cannot take images of {size}: {error}") from error
    if logits.shape != (2, data.num_classes):
        raise ValueError(
            f"the network returns {tuple(logits.shape)} for 2 images of {data.num_classes} classes"
        )
