"""Estimates of a trace one probe at a time, and the exact trace of a small operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sasam.curvature.operators import Probe

# A standard error from fewer samples is too uncertain to stop on: `docs/benchmarks-curvature.md`.
FIRST_PROBES = 16
PROBES_A_BLOCK = 8


class Samples(NamedTuple):
    """The estimates from the samples so far; tensors are float64 on the CPU, shape (1 + layers,).

    Attributes:
        means: The trace, then that of each layer.
        errors: Their standard errors; NaN for a single sample.
        number: The number of samples; infinite if there is no sampling error.
    """

    means: Tensor
    errors: Tensor
    number: float


def independent(values: Tensor) -> Samples:
    """Average independent samples, one per row."""
    count = len(values)
    if count == 1:
        return Samples(values[0], torch.full_like(values[0], math.nan), count)
    return Samples(values.mean(0), values.std(0) / math.sqrt(count), count)


def certain(values: Tensor) -> Samples:
    """Return values without a sampling error."""
    return Samples(values, torch.zeros_like(values), math.inf)


def exact(probe: Probe, layers: Sequence[slice], budget: int) -> Iterator[Samples]:
    """Sum the diagonal, with one product per dimension."""
    diagonal = torch.empty(probe.size, 1, dtype=probe.dtype, device=probe.device)
    for block in torch.split(torch.arange(probe.size, device=probe.device), PROBES_A_BLOCK):
        units = torch.zeros(len(block), probe.size, dtype=probe.dtype, device=probe.device).T
        units[block, block - block[0]] = 1
        diagonal[block, 0] = probe.multiply(units)[block, block - block[0]]
    yield certain(sums_by_layer(diagonal, layers)[0])


def hutchinson(probe: Probe, layers: Sequence[slice], budget: int) -> Iterator[Samples]:
    """Sample ω'Aω with random signs ω; the products Aω are needed for layers alone."""
    values = torch.zeros(0, 1 + len(layers), dtype=torch.float64)
    while probe.matvecs < budget:
        count = PROBES_A_BLOCK if len(values) else FIRST_PROBES
        signs = probe.signs(min(count, budget - probe.matvecs))
        if layers:
            new = sums_by_layer(signs * probe.multiply(signs), layers)
        else:
            new = as_samples(probe.quadratic_forms(signs))
        values = torch.cat([values, new])
        yield independent(values)


def sums_by_layer(columns: Tensor, layers: Sequence[slice]) -> Tensor:
    """Sum each column of a (size, k) matrix, whole and by layer: shape (k, 1 + layers)."""
    sums = [columns.sum(0), *(columns[layer].sum(0) for layer in layers)]
    return torch.stack(sums, 1).to("cpu", torch.float64)


def as_samples(values: Tensor) -> Tensor:
    """Return the traces of the whole as those by layer, of which there is none: shape (k, 1)."""
    return values[:, None].to("cpu", torch.float64)
