"""Coverage of the trace estimators' standard errors on explicit matrices of known trace.

    python tests/benchmarks/bench_trace_coverage.py

For each spectrum and method three rows: a fixed number of products; stopping when the standard
error is as small as the true error of the first row; and stopping at twice that, which is early.
The columns are the mean number of products, the root mean square error in per cent of the trace,
the reported over the true error, and the coverage of nominal 95 % intervals from 1.96 standard
errors and from `TraceEstimate.interval`.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from sasam.curvature import TraceEstimate, TraceMethod, estimate_trace

SIZE = 400
PRODUCTS = 60
MOST_PRODUCTS = 100


@dataclass(frozen=True)
class Matrix:
    """A symmetric matrix as a block operator."""

    matrix: Tensor

    @property
    def size(self) -> int:
        return len(self.matrix)

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    def matvec(self, vector: Tensor) -> Tensor:
        return self.matrix @ vector

    def matmat(self, vectors: Tensor) -> Tensor:
        return self.matrix @ vectors


def spectra() -> dict[str, Tensor]:
    """Return the eigenvalues by name, shape (SIZE,)."""
    outliers = torch.tensor([-20.0, 30, 45, 60, 80])
    return {
        "flat": torch.linspace(0.5, 1.5, SIZE),
        "outliers": torch.cat([outliers, torch.linspace(-0.2, 0.6, SIZE - 5)]),
        "power law": torch.arange(1.0, SIZE + 1) ** -1.5,
        "indefinite": torch.linspace(-1, 1.5, SIZE),
    }


def rotated(eigenvalues: Tensor) -> Matrix:
    """Return a matrix with these eigenvalues in random directions."""
    generator = torch.Generator().manual_seed(1)
    size = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return Matrix((basis * eigenvalues.double()) @ basis.T)


def row(runs: list[TraceEstimate], truth: float) -> list[str]:
    """Return the columns that describe repeated runs."""
    errors = [run.value - truth for run in runs]
    rmse = math.sqrt(sum(error**2 for error in errors) / len(runs))
    reported = math.sqrt(sum(run.standard_error**2 for run in runs) / len(runs))
    covered = sum(abs(e) <= 1.96 * run.standard_error for e, run in zip(errors, runs, strict=True))
    products = sum(run.matvecs for run in runs) / len(runs)
    limits = [run.interval() for run in runs]
    inside = sum(low <= truth <= high for low, high in limits)
    return [
        f"{products:.0f}",
        f"{100 * rmse / abs(truth):.2f}",
        f"{reported / rmse:.2f}",
        f"{100 * covered / len(runs):.1f} %",
        f"{100 * inside / len(runs):.1f} %",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--methods", nargs="+", default=get_args(TraceMethod))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, eigenvalues in spectra().items():
        operator, truth = rotated(eigenvalues), float(eigenvalues.double().sum())
        for method in arguments.methods:

            def repeat(
                target: float, products: int, operator: Matrix = operator, method: str = method
            ) -> list[TraceEstimate]:
                return [
                    estimate_trace(
                        operator,
                        method=method,
                        relative_standard_error=target,
                        max_matvecs=products,
                        seed=seed,
                    )
                    for seed in range(arguments.repeats)
                ]

            fixed = repeat(0.0, PRODUCTS)
            rmse = math.sqrt(sum((run.value - truth) ** 2 for run in fixed) / len(fixed))
            target = rmse / abs(truth)
            for stop, runs in (
                ("fixed", fixed),
                ("at the error", repeat(target, MOST_PRODUCTS)),
                ("at twice", repeat(2 * target, MOST_PRODUCTS)),
            ):
                print(f"| {' | '.join([method, name, stop, *row(runs, truth)])} |", flush=True)


if __name__ == "__main__":
    main()
