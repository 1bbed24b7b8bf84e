"""A private copy of a model, and the checks that its weights can be differentiated twice."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

_DTYPES = (torch.float32, torch.float64)


def copy_model(model: nn.Module) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a copy of a model in eval mode, with the derived tensors of the copy by name.

    A derived tensor was computed from weights and kept on a module, as
    `torch.nn.utils.weight_norm`, `spectral_norm` and `prune` do. It cannot be copied with its
    graph. Those that the forward pass computes anew are replaced then; the loss must not depend on
    the copy of any other, which would be a constant where the model has a function of its weights.

    Raises:
        ValueError: The model cannot be copied.
    """
    # A compiled module has no second derivative; the module inside it does.
    original = getattr(model, "_orig_mod", model)
    derived, memo = {}, {}
    for name, tensor in _derived_tensors(original):
        derived[name] = memo[id(tensor)] = tensor.detach().clone().requires_grad_()
    try:
        copied: nn.Module = copy.deepcopy(original, memo).eval()
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"the operator works on a copy of the model, but copy.deepcopy refuses it: {error}"
        ) from error
    for module in copied.modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = False  # sparse gradients have no second derivative
    return copied, derived


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require a gradient, by name.

    Raises:
        ValueError: There is none, or one has no real values in full precision, or they differ in
            type or device.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError("the model has no trainable weights: none has requires_grad=True")
    kinds: dict[str, str] = {}
    for name, parameter in named.items():
        if nn.parameter.is_lazy(parameter):
            raise ValueError(f"the parameter {name!r} is uninitialised: run the model once before")
        if parameter.dtype not in _DTYPES:
            allowed = " or ".join(map(str, _DTYPES))
            raise ValueError(
                f"trainable parameters must be {allowed}, got {parameter.dtype} for {name!r}; "
                "model.float() converts half precision"
            )
        if parameter.layout != torch.strided or parameter.device.type == "meta":
            raise ValueError(
                "trainable parameters must be dense tensors with values, "
                f"got {parameter.layout} on {parameter.device} for {name!r}"
            )
        kinds.setdefault(f"{parameter.dtype} on {parameter.device}", name)
    if len(kinds) > 1:
        got = " and ".join(f"{kind} for {name!r}" for kind, name in sorted(kinds.items()))
        raise ValueError(f"the trainable parameters must share one type and device, got {got}")
    return named


def slices_by_module(parameters: Mapping[str, Tensor]) -> dict[str, slice]:
    """Return the range of each module's own weights; a module's weights come one after another."""
    slices: dict[str, slice] = {}
    stop = 0
    for name, parameter in parameters.items():
        start, stop = stop, stop + parameter.numel()
        module = name.rpartition(".")[0]
        slices[module] = slice(slices[module].start if module in slices else start, stop)
    return slices


def _derived_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors on modules that were computed from tensors that require a gradient."""
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            values = value.values() if isinstance(value, dict) else value
            for tensor in values if isinstance(value, (list, tuple, dict)) else [value]:
                if isinstance(tensor, Tensor) and not tensor.is_leaf:
                    yield f"{prefix}.{name}".lstrip("."), tensor
