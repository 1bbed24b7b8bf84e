"""Operations on a list of tensors as one long vector, with `torch._foreach_*`.

Every function dispatches a number of operators that does not depend on the number of tensors: one
`torch._foreach_*` call for each combination of device and dtype, since only tensors that share both
are fused into one kernel (`choose_`: of device, dtype and shape). Norms accumulate in float32 at
least.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype

__all__ = [
    "add_scaled_",
    "alike",
    "choose_",
    "clone",
    "copy_",
    "distance",
    "norm",
    "restored",
    "swapped",
]

Vector = list[Tensor]


def alike(*vectors: Vector) -> Iterator[list[Vector]]:
    """Split parallel vectors into parts of one device and dtype each."""
    return (parts for parts, _ in _grouped(*vectors))


def clone(vector: Vector) -> Vector:
    """Copy every tensor."""
    copies = list(vector)
    for [part], indices in _grouped(vector, with_indices=True):
        copied = torch._foreach_mul(part, True)  # True changes neither a value nor the dtype
        for index, tensor in zip(indices, copied, strict=True):
            copies[index] = tensor
    return copies


def copy_(vector: Vector, source: Vector) -> None:
    """Overwrite `vector` with `source`."""
    for part, values in alike(vector, source):
        torch._foreach_copy_(part, values)


def choose_(vector: Vector, condition: Tensor, source: Vector) -> None:
    """Overwrite `vector` with `source` where the 0-dimensional bool `condition` is true.

    Nothing is computed with the values, so the result is exact and NaN does not spread. No
    `torch._foreach_*` call can choose: tensors of one shape are stacked instead.
    """
    groups: dict[object, list[tuple[Tensor, Tensor]]] = {}
    for tensor, value in zip(vector, source, strict=True):
        kind = (tensor.device, tensor.dtype, tensor.shape)
        groups.setdefault(kind, []).append((tensor, value))
    for pairs in groups.values():
        part, values = (list(side) for side in zip(*pairs, strict=True))
        on_device = condition.to(part[0].device)
        chosen = torch.where(on_device, torch.stack(values), torch.stack(part))
        torch._foreach_copy_(part, list(chosen.unbind()))


def add_scaled_(vector: Vector, direction: Vector, scale: Tensor) -> None:
    """Add `scale * direction`, scaling `direction` in place: no memory, no synchronisation."""
    for part, along in alike(vector, direction):
        torch._foreach_mul_(along, scale.to(along[0]))
        torch._foreach_add_(part, along)


def norm(vector: Vector) -> Tensor:
    """Euclidean norm as a 0-dimensional tensor on the first tensor's device."""
    norms: list[Tensor] = []
    for (part,) in alike(vector):
        wide = torch.float64 if part[0].dtype == torch.float64 else torch.float32
        norms.append(torch.stack(torch._foreach_norm(part, 2, wide)).norm())
    if len(norms) == 1:
        return norms[0]
    wide = max((value.dtype for value in norms), key=lambda dtype: dtype.itemsize)
    total: Tensor = torch.stack([value.to(vector[0].device, wide) for value in norms]).norm()
    return total


def distance(vector: Vector, other: Vector) -> Tensor:
    """Euclidean norm of `vector - other`."""
    return norm([d for a, b in alike(vector, other) for d in torch._foreach_sub(a, b)])


@contextmanager
def restored(vector: Vector) -> Iterator[Vector]:
    """Yield a copy of `vector`, and put its values back at the end, exactly, whatever happened."""
    values = clone(vector)
    try:
        yield values
    finally:
        copy_(vector, values)


@contextmanager
def swapped(vector: Vector, other: Vector) -> Iterator[None]:
    """Exchange the values of two vectors, and exchange them back at the end, whatever happened."""
    _swap(vector, other)
    try:
        yield
    finally:
        _swap(vector, other)


def _swap(vector: Vector, other: Vector) -> None:
    values = clone(vector)
    copy_(vector, other)
    copy_(other, values)


def _grouped(*vectors: Vector, with_indices: bool = False) -> list[tuple[list[Vector], list[int]]]:
    """The parts of one device and dtype, and where their tensors stood; none of an empty vector."""
    if not vectors[0]:
        return []
    parallel = cast(list[list[Tensor | None]], list(vectors))
    groups = _group_tensors_by_device_and_dtype(parallel, with_indices).values()
    return cast(list[tuple[list[Vector], list[int]]], list(groups))
