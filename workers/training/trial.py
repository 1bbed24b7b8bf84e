"""State of one trial: network, optimizer, progress.

    for each epoch: train, (curvature along the last update), validate, (curvature)
    at the end: the corrupted and the further test sets, curvature

Between epochs the network has the weights to evaluate: validation, curvature, the corrupted test
set, the best weights and checkpoints all see those (see `Stepper.eval`).

A trial is a function of its configuration. Randomness depends on (seed, purpose, epoch), so a trial
resumed from `Trial.state_dict` continues bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from workers.evaluation import Evaluator
from workers.measurement import CurvatureMeasurement
from workers.models import build_model, uses_channels_last
from workers.optimizers import build_optimizer
from workers.seeding import seed_global_generator
from workers.spec import CurvatureSpec, TrialConfig
from workers.training.schedule import learning_rate_factor
from workers.training.steps import Stepper
from workers.trial_data import DeviceData

__all__ = ["EpochRecord", "Trial", "autocast_dtype"]

_STATISTICS_BATCHES = 50
"""Mini-batches for BatchNorm's statistics at averaged weights, as in Schedule-Free's README."""

EpochRecord = dict[str, Any]
"""Measurements of an epoch, by the names of `workers.metrics`."""


class Trial:
    """A trial in progress.

    Args:
        config: Configuration of the trial.
        data: Its images, on the device that trains.
    """

    def __init__(self, config: TrialConfig, data: DeviceData) -> None:
        self.config = config
        self.epoch = 0
        """Completed epochs."""
        self._data = data
        self._device = data.device
        training = config.training
        seed_global_generator(config.seed, "initialisation", device=self._device)
        model = build_model(config.model, files=config.files, **data.host.inputs.network_arguments)
        self.model = model.to(self._device)
        channels_last = uses_channels_last(training, self.model, self._device)
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        self._normalise = data.host.inputs.preparation(self._device, channels_last=channels_last)
        network = torch.compile(self.model) if training.compile else self.model
        self._autocast_dtype = autocast_dtype(training.precision, self._device)

        def predict(images: Tensor) -> Tensor:
            with self._autocast():
                logits: Tensor = network(images)
            return logits

        self._stepper = Stepper(
            build_optimizer(config, self.model),
            self.model,
            predict,
            label_smoothing=training.label_smoothing,
            gradient_clipping=training.gradient_clipping,
            scale_gradients=self._autocast_dtype == torch.float16,
        )
        self._evaluator = Evaluator(self.model, predict, self._normalise)
        self._curvature: CurvatureMeasurement | None = None
        self._best = -math.inf
        self._best_weights: dict[str, Tensor] | None = None

    @property
    def is_trained(self) -> bool:
        """Whether all epochs are completed."""
        return self.epoch == self.config.training.epochs

    def train_epoch(self) -> EpochRecord:
        """Train one epoch and validate; the losses in the record may be non-finite."""
        self.epoch += 1
        config = self.config
        training = config.training
        steps = len(self._data.train) // training.batch_size
        seed_global_generator(config.seed, "masks", self.epoch, device=self._device)
        self.model.train()
        self._stepper.train()
        self._stepper.start_epoch()
        started = time.perf_counter()
        before: list[Tensor] = []
        for step, (images, labels) in enumerate(self._batches()):
            if step == steps - 1 and self._measures_updates:
                before = [p.detach().clone() for p in self._trained]
            factor = learning_rate_factor(
                training.schedule,
                self.epoch - 1 + (step + 0.5) / steps,  # the middle of the step, never 0
                epochs=training.epochs,
                warmup_epochs=training.warmup_epochs,
            )
            self._stepper.step(images, labels, factor=factor)
        paused = time.perf_counter()
        sharpness = self._measure_update(before)
        started += time.perf_counter() - paused
        self._use_averaged_weights()
        record: EpochRecord = {"epoch": self.epoch} | self._stepper.finish_epoch() | sharpness
        seconds = time.perf_counter() - started
        record["images_per_second"] = steps * training.batch_size / seconds
        scores = self._evaluator.validation(self._data.validation)
        record |= {f"val_{key}": value for key, value in scores._asdict().items()}
        self._keep_best(config.scored_by.oriented(record[config.scored_by.val_metric]))
        return record

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The mini-batches of the present epoch."""
        return self._data.train.epoch(
            self._normalise,
            batch_size=self.config.training.batch_size,
            augmentation=self.config.training.augmentation,
            seed=self.config.seed,
            epoch=self.epoch,
        )

    def _use_averaged_weights(self) -> None:
        """Switch to the weights to evaluate, until the next epoch.

        The running statistics of BatchNorm are those of the trained weights; where the weights to
        evaluate are others, they are measured again, as the authors of Schedule-Free advise
        (Defazio et al. 2024, README).
        """
        self._stepper.eval()
        if self._stepper.averages_weights:
            with self._autocast():
                update_bn(islice(self._batches(), _STATISTICS_BATCHES), self.model)

    @property
    def _measures_updates(self) -> bool:
        spec = self.config.curvature
        return spec is not None and spec.measures("critical_sharpness")

    @property
    def _trained(self) -> list[Tensor]:
        """The weights that are trained."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def _measure_update(self, before: list[Tensor]) -> dict[str, float]:
        """Curvature along the last update of an epoch; empty if not in the specification."""
        spec = self.config.curvature
        if spec is None or not before:
            return {}
        measurement = self._measurement(spec)
        return measurement.critical_sharpness(self.model, before, step_size=self._stepper.step_size)

    def measure_curvature(self) -> dict[str, float]:
        """Curvature at the present weights; empty if not in the specification."""
        if self.config.curvature is None:
            return {}
        return self._measurement(self.config.curvature).measure(self.model, self._stepper.optimizer)

    def measure_end(self) -> EpochRecord:
        """Corrupted and further test sets, and curvature of the trained network."""
        record: EpochRecord = {}
        if self.config.ood is not None:
            metrics, record["ood_matrix"] = self._evaluator.corruptions(self._data)
            record |= metrics
        record |= self._evaluator.test_sets(self._data)
        record |= self.measure_curvature()
        spec = self.config.curvature
        if spec is not None and spec.at_best and self._best_weights is not None:
            last = copy.deepcopy(self.model.state_dict())
            self.model.load_state_dict(self._best_weights)
            record |= self._measurement(spec).measure(self.model, suffix=".best")
            self.model.load_state_dict(last)
        return record

    def state_dict(self) -> dict[str, Any]:
        """State for a resumed trial: tensors and plain values."""
        return {
            "trial": self.config.key,
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "steps": self._stepper.state_dict(),
            "best_score": self._best,
            "best_weights": self._best_weights,
        }

    def result_state(self) -> dict[str, Any]:
        """State of a trial that has ended: its weights."""
        return {"trial": self.config.key, "epoch": self.epoch, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial.

        Raises:
            ValueError: The state belongs to another trial.
        """
        if state["trial"] != self.config.key:
            raise ValueError(
                f"the checkpoint is of trial {state['trial']}, this is trial {self.config.key}"
            )
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self._stepper.load_state_dict(state["steps"])
        # Checkpoints of earlier releases call it accuracy, which it was.
        self._best = state["best_score"] if "best_score" in state else state["best_accuracy"]
        self._best_weights = state["best_weights"]

    def _keep_best(self, score: float) -> None:
        """Keep a copy of the weights with the best validation score; the first of equals.

        Args:
            score: So that higher is better.
        """
        if score > self._best:
            self._best = score
            if self.config.curvature is not None and self.config.curvature.at_best:
                self._best_weights = copy.deepcopy(self.model.state_dict())

    def _measurement(self, spec: CurvatureSpec) -> CurvatureMeasurement:
        """The measurement of this trial, created once."""
        if self._curvature is None:
            self._curvature = CurvatureMeasurement(
                spec, self._data.host, self._normalise, self._device
            )
        return self._curvature

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = self._autocast_dtype
        if dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=dtype)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Data type of ``training.precision`` on a device; None for float32."""
    if precision == "auto":
        capable = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if capable else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
