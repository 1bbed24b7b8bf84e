"""Estimates of a trace that take its large eigenvalues from a sketch: Hutch++ and XTrace.

With an orthonormal Q and P = QQ', the trace is Tr Q'AQ plus the trace of (I−P)A(I−P), which is
sampled. The diagonal, and so the trace of each layer, splits in the same way:
A = AP + PA − PAP + (I−P)A(I−P).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sasam.curvature._sampling import (
    FIRST_PROBES,
    PROBES_A_BLOCK,
    Samples,
    as_samples,
    certain,
    independent,
    sums_by_layer,
)
from sasam.curvature.operators import Probe

# Hutch++: more vectors than a trained network has outlying eigenvalues, about one per class.
_SKETCH_VECTORS = 16
# XTrace: a standard error from fewer vectors is too uncertain to stop on.
_FIRST_VECTORS = 16
_VECTORS_A_BLOCK = 4


def hutchpp(probe: Probe, layers: Sequence[slice], budget: int) -> Iterator[Samples]:
    """Spend up to two thirds of the budget on Q and Q'AQ, the rest on the complement.

    The trace of the whole needs only the sketch's products; the rest are quadratic forms.
    """
    vectors = min(_SKETCH_VECTORS, budget // 3)
    sketch = _Sketch(probe, vectors)
    sketch.extend(vectors, with_images=bool(layers))
    in_range = sketch.trace_in_range(layers)
    if sketch.has_full_range:
        yield certain(in_range[0])
        return
    values = in_range[:0]
    while probe.matvecs < budget:
        signs = probe.signs(min(PROBES_A_BLOCK, budget - probe.matvecs))
        outside = sketch.complement(signs)
        if layers:
            products = sketch.complement(probe.multiply(outside))
            samples = sums_by_layer(signs * products, layers)
        else:
            samples = as_samples(probe.quadratic_forms(outside))
        values = torch.cat([values, in_range + samples])
        if len(values) >= FIRST_PROBES or probe.matvecs == budget:
            yield independent(values)


def xtrace(probe: Probe, layers: Sequence[slice], budget: int) -> Iterator[Samples]:
    """Leave each vector out of the sketch in turn, and sample the complement with it."""
    capacity = budget // 2
    sketch = _Sketch(probe, capacity)
    while sketch.count < capacity:
        count = _VECTORS_A_BLOCK if sketch.count else _FIRST_VECTORS
        sketch.extend(min(count, capacity - sketch.count))
        if sketch.has_full_range:
            yield certain(sketch.trace_in_range(layers)[0])
            return
        yield sketch.traces_leaving_one_out(layers)


# C, G, W, V of a layer; for the whole matrix these are I, T, W, R.
_Overlaps = tuple[Tensor, Tensor, Tensor, Tensor]


class _Sketch:
    """The range Q of AΩ for random signs Ω, with AΩ = QR, W = Q'Ω and T = Q'AQ.

    Q, AQ and Ω hold one vector per row; R, W and T are float64 on the CPU.
    """

    def __init__(self, probe: Probe, capacity: int) -> None:
        self._probe = probe
        self._basis = torch.empty(capacity, probe.size, dtype=probe.dtype, device=probe.device)
        self._images = torch.empty_like(self._basis)
        self._signs = torch.empty_like(self._basis, dtype=torch.int8)
        self._r, self._w, self._t = torch.zeros(3, capacity, capacity, dtype=torch.float64)
        self.count = 0
        self.rank = 0

    @property
    def has_full_range(self) -> bool:
        """Whether some vector added no direction, so that (I−P)A(I−P) = 0."""
        return self.rank < self.count

    def extend(self, count: int, *, with_images: bool = True) -> None:
        """Add random signs to Ω, and the new directions of their products to Q.

        Args:
            count: Number of vectors.
            with_images: Multiply A with the new directions too; without, AQ and T have no values.
        """
        signs = self._probe.signs(count)
        products = self._probe.multiply(signs)
        norms = torch.linalg.vector_norm(products, dim=0)
        basis = self._basis[: self.rank]
        overlaps = basis @ products
        products = products - basis.T @ overlaps
        correction = basis @ products  # twice is enough
        products = products - basis.T @ correction
        directions, upper = torch.linalg.qr(products)
        # A shorter column is rounding error.
        is_new = upper.diagonal().abs() > 10 * torch.finfo(norms.dtype).eps * norms
        old, new = slice(self.rank), slice(self.rank, self.rank + int(is_new.sum()))
        seen, added = slice(self.count), slice(self.count, self.count + count)
        self.rank, self.count = new.stop, added.stop
        self._basis[new] = directions[:, is_new].T
        self._signs[added] = signs.T
        self._r[old, added] = (overlaps + correction).to(self._r)
        self._r[new, added] = upper[is_new].to(self._r)
        self._w[: self.rank, added] = (self._basis[: self.rank] @ signs).to(self._w)
        for index, old_signs in enumerate(self._signs[seen]):  # one at a time: they are bytes
            self._w[new, index] = (self._basis[new] @ old_signs.to(signs)).to(self._w)
        if not with_images:
            return
        self._images[new] = self._probe.multiply(self._basis[new].T).T
        t = (self._basis[: self.rank] @ self._images[new].T).to(self._t)
        self._t[: self.rank, new] = t
        self._t[new, : self.rank] = t.T

    def complement(self, columns: Tensor) -> Tensor:
        """Return (I−P) times the columns of a matrix (size, k)."""
        basis = self._basis[: self.rank]
        return columns - basis.T @ (basis @ columns)

    def trace_in_range(self, layers: Sequence[slice]) -> Tensor:
        """Return the trace of AP + PA − PAP, whole and by layer: shape (1, 1 + layers)."""
        basis, images = self._basis[: self.rank], self._images[: self.rank]
        if not layers:
            return as_samples(self._probe.quadratic_forms(basis.T).sum(0, keepdim=True))
        t = self._t[: self.rank, : self.rank].to(basis)
        diagonal = (basis * (2 * images - t @ basis)).sum(0)
        return sums_by_layer(diagonal[:, None], layers)

    def traces_leaving_one_out(self, layers: Sequence[slice]) -> Samples:
        """Return the XTrace estimate, whole and by layer, with its standard error.

        Without its i-th vector the range is that of Q Mᵢ with Mᵢ = I − sᵢsᵢ', where sᵢ is the unit
        vector orthogonal to all columns of R but the i-th. XTrace without vector j is the same
        formula within Mⱼ, which gives the jackknife estimate of the variance.

        The estimates tᵢ with one vector left out share a sketch, so their sample variance over k
        understates the variance of their mean, and the jackknife overstates it. In the ANOVA
        decomposition of the mean over the independent vectors (Efron & Stein 1981), let V_c be the
        variance from interactions of c vectors. The jackknife has the expectation Σ c V_c. Given
        the other vectors, tᵢ is unbiased, so it consists of interactions with vector i alone; up
        to 1/k its sample variance over k then has at least the expectation Σ V_c / c. As
        2/c + c ≥ 3, with equality for c = 1 and 2,

            (2 var(t)/k + jackknife) / 3

        has at least the expectation Σ V_c, and is exact where the vectors interact in pairs.
        """
        k = self.rank
        r, w, t = self._r[:k, :k], self._w[:k, :k], self._t[:k, :k]
        identity = torch.eye(k, dtype=r.dtype)
        s = torch.linalg.solve_triangular(r, identity, upper=True).T
        s = s / torch.linalg.vector_norm(s, dim=0)
        overlaps = [(identity, t, w, r), *map(self._overlaps, layers)]
        samples = _leave_one_out(identity, s, r, w, t, overlaps)
        if k < 3:
            return independent(samples)
        without = []
        for j in range(k):
            others = torch.arange(k) != j
            within = identity - s[:, j, None] * s[:, j]
            rest = within @ s[:, others]
            rest = rest / torch.linalg.vector_norm(rest, dim=0)
            kept = [(c, g, wl[:, others], v[:, others]) for c, g, wl, v in overlaps]
            out = _leave_one_out(within, rest, r[:, others], w[:, others], t, kept)
            without.append(out.mean(0))
        jackknife = torch.stack(without).var(0, correction=0) * (k - 1)
        variance = (2 * samples.var(0) / k + jackknife) / 3
        return Samples(samples.mean(0), variance.sqrt(), k)

    def _overlaps(self, layer: slice) -> _Overlaps:
        """Return C = Q'Q, G = Q'AQ, W = Q'Ω and V = (AQ)'Ω over the rows of a layer."""
        q, aq = self._basis[: self.rank, layer], self._images[: self.rank, layer]
        signs = self._signs[: self.count, layer].to(q.dtype)
        grams = (q @ q.T, q @ aq.T, q @ signs.T, aq @ signs.T)
        c, g, w, v = (gram.to(self._t) for gram in grams)
        return c, g, w, v


def _leave_one_out(
    within: Tensor, s: Tensor, r: Tensor, w: Tensor, t: Tensor, overlaps: list[_Overlaps]
) -> Tensor:
    """Estimate the traces with each vector left out of a sketch: shape (count, 1 + layers).

    With Mᵢ = N − sᵢsᵢ', mᵢ = Mᵢ Wᵢ and N the projection `within`, in coordinates of Q, the trace
    of layer l is

        Tr(2 Mᵢ Gₗ − Cₗ Mᵢ T Mᵢ) + Wₗᵢ'Rᵢ − Vₗᵢ'mᵢ + Wₗᵢ'Mᵢ(T mᵢ − Rᵢ).
    """

    def left_out(x: Tensor) -> Tensor:
        projected: Tensor = within @ x - s * (s * x).sum(0)
        return projected

    m = left_out(w)
    u = left_out(t @ m - r)
    t = within @ t @ within
    ts = t @ s
    traces = []
    for c, g, w_layer, v in overlaps:
        in_range = 2 * ((within * g).sum() - (s * (g @ s)).sum(0))
        twice = (c * t).sum() - 2 * (s * (c @ ts)).sum(0)
        twice += (s * ts).sum(0) * (s * (c @ s)).sum(0)
        outside = (w_layer * (r + u) - v * m).sum(0)
        traces.append(in_range - twice + outside)
    return torch.stack(traces, 1)
