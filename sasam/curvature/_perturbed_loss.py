"""The mean loss of a copy of a model at perturbed weights, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sasam.curvature._batches import check_readable_again, checked_batch
from sasam.curvature._model_copy import copy_model, trainable_parameters

__all__ = ["Batch", "LossFunction", "PerturbedLoss", "checked_batches"]

LossFunction = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]


class PerturbedLoss:
    """Evaluates a copy of a model in eval mode; the model, its buffers and its mode stay.

    Args:
        model: The network; its trainable parameters share type and device.
        loss_fn: Maps outputs and targets to the mean loss of their examples.

    Attributes:
        weights: The trainable weights, in the order of `model.parameters()`.
        forward_passes: Evaluations of the loss so far, those of gradients included.
        gradient_evaluations: Gradients so far.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFunction) -> None:
        self._model, _ = copy_model(model)
        self._parameters = list(trainable_parameters(self._model).values())
        self._loss_fn = loss_fn
        self.weights = [p.detach().clone() for p in self._parameters]
        self.forward_passes = 0
        self.gradient_evaluations = 0

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.weights[0].device

    def moved(self, batch: Batch) -> Batch:
        """A batch on the device of the weights."""
        return batch[0].to(self.device), batch[1].to(self.device)

    @torch.no_grad()
    def loss(self, batch: Batch, perturbation: Sequence[Tensor] | None = None) -> float:
        """The mean loss of a batch at weights + perturbation."""
        self._move(perturbation)
        return float(self._evaluate(batch))

    def mean_loss(self, batches: Sequence[Batch], perturbation: Sequence[Tensor]) -> float:
        """The mean loss over the examples of all batches, a forward pass over them."""
        sizes = [len(targets) for _, targets in batches]
        losses = [self.loss(batch, perturbation) for batch in batches]
        total = sum(size * loss for size, loss in zip(sizes, losses, strict=True))
        return total / sum(sizes)

    def gradient(
        self, batch: Batch, perturbation: Sequence[Tensor] | None = None
    ) -> tuple[float, list[Tensor]]:
        """The mean loss of a batch at weights + perturbation, and its gradient."""
        self._move(perturbation)
        self.gradient_evaluations += 1
        with torch.enable_grad():
            loss = self._evaluate(batch)
            gradients = torch.autograd.grad(
                loss, self._parameters, allow_unused=True, materialize_grads=True
            )
        return float(loss.detach()), list(gradients)

    def _evaluate(self, batch: Batch) -> Tensor:
        self.forward_passes += 1
        inputs, targets = batch
        with torch.autocast(self.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            return self._loss_fn(self._model(inputs), targets)

    @torch.no_grad()
    def _move(self, perturbation: Sequence[Tensor] | None) -> None:
        """Set the weights of the copy."""
        for index, (parameter, weight) in enumerate(
            zip(self._parameters, self.weights, strict=True)
        ):
            parameter.copy_(weight if perturbation is None else weight + perturbation[index])


def checked_batches(batches: Iterable[Batch], loss: PerturbedLoss) -> list[Batch]:
    """The batches on the device of the weights.

    Raises:
        ValueError: There is none, or one is no pair of as many inputs as targets.
    """
    check_readable_again(batches)
    found = [loss.moved(checked_batch(batch)) for batch in batches]
    if not found:
        raise ValueError("batches must hold at least one batch, got none")
    return found
