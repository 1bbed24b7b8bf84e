"""Rehearsal of a trial on two images: gradient, evaluation and Hessian-vector product.

A network that fails one of them is refused before training instead of after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sasam.curvature import HessianMethod, choose_hessian_method
from workers.example_inputs import ExampleInputs
from workers.trial_data import TrialData

__all__ = ["rehearse"]


def rehearse(
    model: nn.Module, data: TrialData, *, channels_last: bool, measures_curvature: bool
) -> HessianMethod | None:
    """Differentiate the loss in training mode, and twice in eval mode for curvature.

    Args:
        model: The network; its gradients, buffers and memory format change.
        data: Images of the sweep, whose shape is used.
        channels_last: Whether images and weights have the channels last in memory.
        measures_curvature: Whether trials measure curvature.

    Returns:
        How the Hessian is measured; None if it is not.

    Raises:
        ValueError: The network fails; the message names which of the three steps.
    """
    inputs = data.inputs
    images, labels = inputs.random_batch(2, channels_last=channels_last)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    doing = "be trained"
    try:
        trained = _differentiated(model.train(), images, labels)
        doing = "be evaluated"
        with torch.inference_mode():
            _check_logits(model.eval()(images), inputs)
        if not measures_curvature:
            return None
        doing = "have its curvature measured (with curvature: null it can be trained)"
        _check_gradients(trained - _differentiated(model.eval(), images, labels))
        return choose_hessian_method(model, F.cross_entropy, images, labels)
    except Exception as error:  # the network may be of any library
        what = f"{inputs.noun} of {inputs.size}"
        raise ValueError(f"the network cannot {doing} on {what}: {error}") from error


def _differentiated(model: nn.Module, images: Tensor, labels: Tensor) -> set[str]:
    """The names of the weights that the loss depends on."""
    model.zero_grad()
    loss = F.cross_entropy(model(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return {name for name, p in model.named_parameters() if p.grad is not None}


def _check_logits(logits: object, inputs: ExampleInputs) -> None:
    """Refuse logits of the wrong shape."""
    got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if got != inputs.logits_shape(2):
        raise ValueError(f"it returns {got} for 2 {inputs.noun} of {inputs.num_classes} classes")


def _check_gradients(lost: set[str]) -> None:
    """Refuse a network that caches values computed from its weights between evaluations."""
    if lost:
        raise ValueError(
            f"{len(lost)} weights have a gradient in training and none in eval mode, "
            f"such as {min(lost)}"
        )
