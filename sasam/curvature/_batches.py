"""Batches of examples: their validation, and the chunks that they are cut to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

__all__ = ["Chunk", "check_readable_again", "checked_batch"]


class Chunk(NamedTuple):
    """Examples that are differentiated at once, and the denominator of their mean loss."""

    inputs: Tensor
    targets: Tensor
    weight: float


def check_readable_again(batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Refuse an iterator, which can be read only once.

    Raises:
        ValueError: It is an iterator.
    """
    if iter(batches) is batches:
        raise ValueError(
            "batches must be readable again for every product (a list or a loader), "
            f"got a {type(batches).__name__} that can be read only once"
        )


def checked_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return a batch that is a pair of tensors with the same number of examples, at least 1."""
    try:
        inputs, targets = batch
        sizes = len(inputs), len(targets)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a batch must be a pair (inputs, targets) of tensors, got a {type(batch).__name__}"
        ) from error
    if sizes[0] != sizes[1] or sizes[0] == 0:
        raise ValueError(
            "a batch must hold as many targets as inputs, at least 1, "
            f"got {sizes[0]} inputs and {sizes[1]} targets"
        )
    return inputs, targets
