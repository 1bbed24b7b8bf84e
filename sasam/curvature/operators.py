"""Protocols of symmetric operators, and the probe by which estimators multiply with them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "BlockOperator",
    "FormOperator",
    "GuidedOperator",
    "NonFiniteProductError",
    "Probe",
    "SymmetricOperator",
]


class SymmetricOperator(Protocol):
    """A symmetric linear map A of R^size, given by its matrix-vector products."""

    @property
    def size(self) -> int:
        """The dimension of the space."""

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the vectors."""

    @property
    def device(self) -> torch.device:
        """The device of the vectors."""

    def matvec(self, vector: Tensor, /) -> Tensor:
        """Return A v for a vector of shape (size,)."""


@runtime_checkable
class BlockOperator(SymmetricOperator, Protocol):
    """A symmetric operator that multiplies several vectors at once faster than one by one."""

    def matmat(self, vectors: Tensor, /) -> Tensor:
        """Return A V for vectors of shape (size, k), one per column."""


@runtime_checkable
class FormOperator(SymmetricOperator, Protocol):
    """A symmetric operator whose quadratic forms may cost less than its products."""

    def quadratic_forms(self, vectors: Tensor, /) -> Tensor:
        """Return v'A v, shape (k,), for vectors of shape (size, k), one per column."""


@runtime_checkable
class GuidedOperator(SymmetricOperator, Protocol):
    """A symmetric operator with cheap guesses at its extremal eigenvectors."""

    def extremal_guesses(self) -> Tensor:
        """Return unit vectors, shape (size, k), not orthogonal to the extremal eigenvectors."""


class NonFiniteProductError(ArithmeticError):
    """A product was not finite: the weights diverged. Estimators return NaN then."""


class Probe:
    """Multiplies with an operator: counts products, checks that they are finite, draws vectors.

    Args:
        operator: The operator A.
        seed: Seed of all random vectors.

    Raises:
        ValueError: The operator has no dimension.
    """

    def __init__(self, operator: SymmetricOperator, seed: int) -> None:
        if operator.size < 1:
            raise ValueError(f"the operator must have a size of at least 1, got {operator.size}")
        self._operator = operator
        self._generator = torch.Generator(operator.device).manual_seed(seed)
        self.size = operator.size
        self.device = operator.device
        self.dtype = torch.promote_types(operator.dtype, torch.float32)  # LAPACK has no half
        self.matvecs = 0

    def multiply(self, vectors: Tensor) -> Tensor:
        """Return A V of shape (size, k), or A v of shape (size,).

        Raises:
            NonFiniteProductError: Some element is not finite.
        """
        self.matvecs += vectors[0].numel()
        vectors = vectors.to(self._operator.dtype)
        if vectors.ndim == 1:
            products = self._operator.matvec(vectors)
        elif isinstance(self._operator, BlockOperator):
            products = self._operator.matmat(vectors)
        else:
            products = torch.empty_like(vectors)
            for column, vector in zip(products.unbind(1), vectors.unbind(1), strict=True):
                column.copy_(self._operator.matvec(vector))
        if not products.isfinite().all():
            raise NonFiniteProductError("a product with the operator is not finite")
        return products.detach().to(self.dtype)

    def quadratic_forms(self, vectors: Tensor) -> Tensor:
        """Return v'A v, shape (k,), for columns, shape (size, k); each counts as a product.

        Raises:
            NonFiniteProductError: Some form is not finite.
        """
        if not isinstance(self._operator, FormOperator):
            return (vectors * self.multiply(vectors)).sum(0)
        self.matvecs += vectors.shape[1]
        forms = self._operator.quadratic_forms(vectors.to(self._operator.dtype))
        if not forms.isfinite().all():
            raise NonFiniteProductError("a quadratic form of the operator is not finite")
        return forms.detach().to(self.dtype)

    def guesses(self) -> Tensor | None:
        """Return guesses at the extremal eigenvectors, shape (size, k), if the operator has any."""
        if not isinstance(self._operator, GuidedOperator):
            return None
        return self._operator.extremal_guesses().to(self.dtype)

    def signs(self, count: int) -> Tensor:
        """Draw random signs: shape (size, count), columns contiguous in memory."""
        bits = torch.randint(
            2, (count, self.size), generator=self._generator, device=self.device, dtype=torch.int8
        )
        return bits.to(self.dtype).mul_(2).sub_(1).T

    def unit_vector(self) -> Tensor:
        """Draw a direction uniformly from the unit sphere."""
        shape = (self.size,)
        vector = torch.randn(shape, generator=self._generator, device=self.device, dtype=self.dtype)
        return torch.nn.functional.normalize(vector, dim=0, eps=0.0)
