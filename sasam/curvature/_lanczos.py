"""Lanczos iteration with full reorthogonalisation, for the estimators that need a Krylov space.

    A V = V T + β v e',   V'V = I,   T = V'AV,   V'v = 0,   |v| = 1

T is taken as a whole from the projections that the reorthogonalisation computes anyway, so the
relation also holds after a restart from Ritz vectors, when T is no longer tridiagonal.

Source: Wu & Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems" (2000).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sasam.curvature.operators import Probe

# Of the random vector in a start that is made of guesses.
_RANDOM_SHARE = 0.1


class Lanczos:
    """An orthonormal basis V of a Krylov space that grows by one product at a time.

    Args:
        probe: The operator A; the first vector is a random one of it.
        capacity: The most vectors to hold beside the residual v, at least 1.
        guesses: Unit vectors, shape (size, k), that are added to the first one.
    """

    def __init__(self, probe: Probe, capacity: int, guesses: Tensor | None = None) -> None:
        self._probe = probe
        self._random = start = probe.unit_vector()
        if guesses is not None:
            start = normalize(guesses.sum(1) + _RANDOM_SHARE * start, dim=0, eps=0.0)
        self._vectors = start.new_empty(capacity + 1, len(start))  # v follows V, one a row
        self._vectors[0] = start
        self._projection = torch.zeros(capacity, capacity, dtype=torch.float64)
        self._capacity = capacity
        self._dimension = 0
        self.residual_norm = float("inf")
        """The norm β; 0 when the space is invariant, so that its Ritz values are eigenvalues."""

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another vector before a restart."""
        return self._dimension == self._capacity

    def expand(self) -> None:
        """Multiply the residual v with A and make it the next vector of the basis."""
        last, self._dimension = self._dimension, self._dimension + 1
        basis = self._vectors[: self._dimension]
        residual = self._probe.multiply(basis[last])
        scale = float(torch.linalg.vector_norm(residual))
        overlaps = basis @ residual
        residual = residual - overlaps @ basis
        correction = basis @ residual  # twice is enough
        residual = residual - correction @ basis
        column = (overlaps + correction).to(self._projection)
        self._projection[: self._dimension, last] = column
        self._projection[last, : self._dimension] = column
        self.residual_norm = float(torch.linalg.vector_norm(residual))
        # Below this the residual is rounding error, so the space is invariant.
        rounding = 10 * torch.finfo(residual.dtype).eps * scale
        if self.residual_norm <= rounding or self._dimension == self._probe.size:
            self.residual_norm = 0.0
        else:
            self._vectors[self._dimension] = residual / self.residual_norm

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Return the Ritz values in ascending order and their coordinates in V, as columns."""
        values, coordinates = torch.linalg.eigh(
            self._projection[: self._dimension, : self._dimension]
        )
        return values, coordinates

    def multiplicity(self, coordinates: Tensor) -> float:
        """Estimate how many eigenvectors a Ritz vector mixes, at least 1.

        Args:
            coordinates: A column from `ritz`, shape (dimension,).
        """
        return estimate_multiplicity(self.combine(coordinates[:, None])[0], self._random)

    def combine(self, coordinates: Tensor) -> Tensor:
        """Return the vectors with these coordinates, the columns, as rows."""
        return coordinates.T.to(self._vectors) @ self._vectors[: self._dimension]

    def restart(self, coordinates: Tensor) -> None:
        """Keep the Ritz vectors with these coordinates, and the residual.

        Args:
            coordinates: Orthonormal columns from `ritz`, shape (dimension, kept).
        """
        kept = coordinates.shape[1]
        projection = coordinates.T @ self._projection[: self._dimension, : self._dimension]
        self._vectors[:kept] = self.combine(coordinates)
        self._vectors[kept] = self._vectors[self._dimension].clone()
        self._projection[:kept, :kept] = projection @ coordinates
        self._dimension = kept


def estimate_multiplicity(vector: Tensor, random: Tensor) -> float:
    """Estimate how many eigenvectors a unit vector mixes, at least 1.

    A random vector has about the fraction d / size of its squared length in an eigenspace of
    dimension d, by chance up to four times that. A vector that contains more of it than one
    eigenvector does is a mixture.

    Args:
        vector: Shape (size,), from products of an operator with the random vector.
        random: A random unit vector, shape (size,).
    """
    return max(1.0, len(vector) * float(vector @ random) ** 2 / 4)
