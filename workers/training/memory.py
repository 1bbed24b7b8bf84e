"""Estimate of a trial's memory, computed without allocating it.

    needed = weights + gradients + optimizer state + activations of a batch (+ best weights)

The network is built and run on PyTorch's meta device, where a tensor has a shape but no memory, so
that even a network too large for any machine is cheap to check. Temporary memory of kernels, such
as the workspace of a convolution, is not counted: the sum is a lower bound.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workers.example_inputs import ExampleInputs
from workers.models import build_model
from workers.spec import ResourcesSpec, TrialConfig
from workers.spec.optimizers import OptimizerSpec
from workers.spec.sharpness_aware import SAM
from workers.spec.stepping_optimizers import MSGD

__all__ = [
    "TooLargeError",
    "TrialMemory",
    "available_bytes",
    "estimate_memory",
    "gibibytes",
    "host_bytes",
    "measure_memory",
    "optimizer_copies",
]

_COPIES = {
    "sa-sam": 2,
    "sa-sgd": 2,
    "sam": 1,
    "adam": 2,
    "adamw": 2,
    "nadamw": 2,
    "muon": 1,
    "lion": 1,
    "soap": 2,
    "schedule-free-adamw": 2,
    "schedule-free-sgd": 1,
    "prodigy": 4,
    "asam": 3,
    "gsam": 3,
    "friendly-sam": 5,
    "looksam": 4,
    "sam-on": 3,
}
"""Copies of the weights per optimizer. SA-SAM and SA-SGD: previous weights, and present gradients
or weights to restore. SAM: weights to restore; around a base optimizer also the first gradient and
the perturbation, besides the base's. Adam and its kin: two moments. SOAP's preconditioners, which
depend on the shapes, are not counted. Prodigy: two moments, initial weights and a sum."""
_MAX_TENSORS = 10_000
"""Tensors that a network may create; the largest networks of timm create a few thousand."""
_MAX_REASON_CHARACTERS = 300
_MAX_PLAIN_GIB = 1e6
_MAX_VALUES_ON_HOST = 2**24
"""Values of a tensor on the host, such as the dropout rates by depth."""
_ON_META = {torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand}
_ON_HOST = {torch.arange, torch.linspace, torch.eye}
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class TrialMemory:
    """Memory of a trial on the device that trains, in bytes.

    Args:
        weights: Parameters and buffers.
        gradients: Gradients of the trained parameters.
        optimizer_state: State of the optimizer.
        activations: Tensors of a batch that the forward pass keeps for the backward pass.
        trial: The trial.
    """

    weights: int
    gradients: int
    optimizer_state: int
    activations: int
    trial: TrialConfig

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.gradients + self.optimizer_state + self.activations

    def __str__(self) -> str:
        """The sum and its parts, for a message."""
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer state": self.optimizer_state,
            "activations": self.activations,
        }
        named = ", ".join(f"{name} {gibibytes(size)}" for name, size in parts.items())
        return f"{gibibytes(self.total)} ({named})"


def _full_precision(_trial: TrialConfig) -> int:
    """Bytes of a float32."""
    return 4


class TooLargeError(ValueError):
    """A network has too many or too large tensors to be built."""


def estimate_memory(
    trials: Sequence[TrialConfig],
    inputs: ExampleInputs,
    *,
    value_bytes: Callable[[TrialConfig], int] = _full_precision,
) -> TrialMemory | None:
    """Estimate the memory of trials of one network without allocating it.

    Args:
        trials: The trials; the one that needs the most memory counts.
        inputs: What the examples are to the network.
        value_bytes: Returns the bytes of one value of a trial's activations: 4, or 2 in half
            precision.

    Returns:
        The memory; None if the network cannot be built or run on the meta device.

    Raises:
        TooLargeError: The network has too many or too large tensors to be built.
    """
    try:
        with _WithoutMemory():
            model = build_model(trials[0].model, files=trials[0].files, **inputs.network_arguments)
        model = model.to("meta").train()
        batch_size = max(trial.training.batch_size for trial in trials)
        images = inputs.zeros(batch_size, device="meta")
        return measure_memory(trials, model, images, value_bytes=value_bytes)
    except TooLargeError:
        raise
    except Exception as error:  # a network of a package can raise anything
        if "overflow" not in str(error):
            return None
        raise TooLargeError(" ".join(str(error).split())[:_MAX_REASON_CHARACTERS]) from error


def measure_memory(
    trials: Sequence[TrialConfig],
    model: nn.Module,
    images: Tensor,
    *,
    value_bytes: Callable[[TrialConfig], int] = _full_precision,
) -> TrialMemory:
    """Measure the memory of trials of one network with a forward pass.

    Args:
        trials: The trials; the one that needs the most memory counts.
        model: Their network, on any device.
        images: A batch on the same device, as the network takes it.
        value_bytes: Returns the bytes of one value of a trial's activations: 4, or 2 in half
            precision.
    """
    kept = _kept_bytes(model, images)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))

    def memory(trial: TrialConfig) -> TrialMemory:
        copies = optimizer_copies(trial.optimizer)
        keeps_best = trial.curvature is not None and trial.curvature.at_best
        activations = kept * trial.training.batch_size // len(images)
        return TrialMemory(
            (2 if keeps_best else 1) * weights,
            trained,
            copies * trained,
            activations * value_bytes(trial) // 4,
            trial,
        )

    return max(map(memory, trials), key=lambda memory: memory.total)


def optimizer_copies(optimizer: OptimizerSpec) -> int:
    """Copies of the weights that an optimizer holds during a pass, besides weights and gradients.

    0 for an optimizer of another package, whose state is unknown.
    """
    if isinstance(optimizer, MSGD):
        return int(optimizer.momentum > 0)
    base = getattr(optimizer, "base", None)
    if base is not None:
        own = _COPIES["asam"] if isinstance(optimizer, SAM) else _COPIES[optimizer.name]
        return own + optimizer_copies(base)
    momentum = isinstance(optimizer, SAM) and optimizer.momentum > 0
    return _COPIES.get(optimizer.name, 0) + momentum


def _kept_bytes(model: nn.Module, images: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, without the weights."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other storage gets the same address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(images)
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    return sum(storage.nbytes() for address, storage in kept.items() if address not in own)


def available_bytes(resources: ResourcesSpec) -> int:
    """Memory for a trial on this machine: of its GPU, or of the host without a GPU."""
    if torch.cuda.is_available() and resources.gpu != 0:
        total = torch.cuda.get_device_properties(0).total_memory
        return int(total * min(1.0, resources.gpu or 1.0))
    return host_bytes()


def host_bytes(limits: tuple[Path, ...] = _CGROUPS) -> int:
    """Memory for this process: the machine's, or the limit of its control group if lower.

    Args:
        limits: Files with the limit in control groups of version 2 and version 1.
    """
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        try:
            found = min(found, int(path.read_text()))
        except (OSError, ValueError):  # no such group, or the limit is "max"
            continue
    return found


class _WithoutMemory(TorchFunctionMode):
    """Creates the large tensors of a network on the meta device while it is built.

    ``torch.device("meta")`` is not enough: tensors whose values are read, such as
    ``torch.linspace(0, rate, depth).tolist()``, must be on the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tensors = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in _ON_META:
            self._count()
            options["device"] = "meta"
        elif func in _ON_HOST:
            self._count()
            numbers = [x for x in (*args, *options.values()) if isinstance(x, int | float)]
            if max(map(abs, numbers), default=0) > _MAX_VALUES_ON_HOST:
                raise TooLargeError(f"the network makes a tensor of {max(numbers):g} values")
        return func(*args, **options)

    def _count(self) -> None:
        """Count a tensor; raise TooLargeError if there are too many."""
        self._tensors += 1
        if self._tensors > _MAX_TENSORS:
            raise TooLargeError(f"the network has more than {_MAX_TENSORS:,} tensors")


def gibibytes(size: float) -> str:
    """A number of bytes as text, in GiB."""
    size /= 2**30
    return f"{size:,.1f} GiB" if size < _MAX_PLAIN_GIB else f"{size:.1e} GiB"
