"""Conformance of the optimizers of a sweep on its network: as stated, or as checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import nn

from workers.models import uses_channels_last
from workers.spec import SpecError, SpecProblem, TrialConfig
from workers.spec.optimizers import OptimizerSpec
from workers.training.conformance import (
    Conformance,
    check_conformance,
    needs_check,
    stated_conformance,
)
from workers.training.trial import autocast_dtype
from workers.trial_data import TrialData

__all__ = ["check_optimizers"]

log = logging.getLogger(__name__)

_IMAGES = 32
"""Images of the mini-batch on which optimizers are checked."""


def check_optimizers(
    sections: Sequence[OptimizerSpec],
    trials: Sequence[TrialConfig],
    model: nn.Module,
    data: TrialData,
) -> dict[str, Conformance]:
    """Check the optimizers that are not built in, each at its smallest learning rate.

    Args:
        sections: The optimizers of the sweep.
        trials: Trials of the sweep, at least one of each optimizer.
        model: Network of the trials.
        data: Images of the trials.

    Returns:
        What each optimizer does, by its label.

    Raises:
        SpecError: An optimizer cannot be used; one problem per such optimizer.
    """
    by_rate = sorted(trials, key=lambda trial: trial.learning_rate or 0.0, reverse=True)
    mildest = {trial.optimizer_label: trial for trial in by_rate}
    found: dict[str, Conformance] = {}
    problems: list[SpecProblem] = []
    for position, section in enumerate(sections):
        label = section.label or section.name
        if not needs_check(section):
            found[label] = stated_conformance(section)
            continue
        try:
            found[label] = _check(mildest[label], model, data)
        except ValueError as error:
            problems.append(SpecProblem(f"optimizers[{position}]", str(error), section.name))
        else:
            log.info("optimizer %s: %s", label, found[label])
    if problems:
        raise SpecError(problems)
    return found


def _check(trial: TrialConfig, model: nn.Module, data: TrialData) -> Conformance:
    """Check the optimizer of a trial on the host."""
    training = trial.training
    device = torch.device("cpu")
    channels_last = uses_channels_last(training, model, device)
    normalise = data.inputs.preparation(device, channels_last=channels_last)
    count = min(training.batch_size, len(data.train), _IMAGES)
    return check_conformance(
        trial.optimizer,
        model,
        normalise(torch.from_numpy(data.train.inputs[:count].copy())),
        torch.from_numpy(data.train.labels[:count].copy()).long(),
        lr=trial.learning_rate,
        weight_decay=trial.weight_decay,
        files=trial.files,
        precision=autocast_dtype(training.precision, device),
        label_smoothing=training.label_smoothing,
        gradient_clipping=training.gradient_clipping,
    )
