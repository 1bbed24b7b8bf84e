"""Seed noise of the scores of one optimizer, and repeated sweeps simulated with it.

The model is Y_cj = mu_c + b_j + e_cj: the score of configuration c with seed j is a true score, an
effect of the seed on all configurations, and noise of the trial. Both variances are estimated on
the better half of the configurations (runs that sometimes diverge vary far more and say nothing
about the good ones): Var(b) from the seed means of that half, n - 1 degrees of freedom; Var(e) from
what is left, pooled over configurations, (K - 1)(n - 1). A configuration of the other half has the
mean of the pooled variance and of its own, and no mean above its best trial. Pooling is what makes
two seeds informative.

The noise of a statistic such as a maximum depends on how far apart the true scores are, which is
unknown. Sweeps are therefore repeated on three plausible surfaces of true scores: as observed; with
every difference within seed noise removed; and in the observed order with gaps far beyond noise,
where a maximum is never in doubt. :mod:`service.sensitivity.intervals` covers all three.

Sources: the removal of differences within noise is the recentring of Hansen 2005, "A test for
superior predictive ability", and the generalized moment selection of Andrews & Soares 2010,
"Inference for parameters defined by moment inequalities"; pooled variances as in any two-way
analysis of variance. The hull over surfaces is conservative; ``docs/measures.md`` has its measured
coverage.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.sensitivity.optimizer_trials import Floats

__all__ = ["N_RESAMPLES", "RepeatedSweeps", "repeat_sweeps"]

N_RESAMPLES = 600
"""Simulated sweeps per surface."""

Statistics = Callable[[Floats, Floats], Mapping[str, Floats]]

# Sorted means within this many standard errors of the first of their group are one true score: the
# 0.95 quantile of the studentized range of three means.
_WITHIN_NOISE = 3.5
_FAR_APART = 8.0  # standard errors between neighbours, where noise no longer swaps them
_LEAST_POOLED = 3
_MOST_USUAL = 3.0  # standard errors that the mean of an ordinary configuration may be too low


@dataclass(frozen=True, slots=True)
class RepeatedSweeps:
    """Scores of R simulated sweeps on one plausible surface of true scores.

    Attributes:
        val: [R, C] validation scores; NaN for a configuration without a score.
        evaluation: [R, C] evaluation scores; the same array where validation evaluates.
        true_val: [C], the surface.
        true_evaluation: [C], likewise.
    """

    val: Floats
    evaluation: Floats
    true_val: Floats
    true_evaluation: Floats

    def errors(self, statistics: Statistics) -> dict[str, Floats]:
        """Errors of statistics in each sweep: their values less those with the true scores.

        Args:
            statistics: By name, of the scores that select, [R, C], and the scores to read, [R, C]
                or [1, C]. In both values the sweep's own scores select: the error is that of a user
                who believes the score of the configuration they have chosen.
        """
        truth = self.true_evaluation[None]  # the same in every sweep
        seen, true = statistics(self.val, self.evaluation), statistics(self.val, truth)
        return {name: value - true[name] for name, value in seen.items()}

    @property
    def on_validation(self) -> "RepeatedSweeps":
        """The same sweeps evaluated by validation scores."""
        return RepeatedSweeps(self.val, self.val, self.true_val, self.true_val)


def repeat_sweeps(
    val: Floats,
    evaluation: Floats | None,
    *,
    silent: NDArray[np.bool_],
    rng: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> tuple[RepeatedSweeps, ...]:
    """Simulate sweeps on the three surfaces.

    Args:
        val: [C, S] validation scores of trials, NaN where missing.
        evaluation: Likewise; None where validation evaluates.
        silent: [C], configurations without noise, such as those whose every trial diverged.
        rng: Source of randomness.
        n_resamples: R.

    Returns:
        Empty where fewer than half of the scored configurations have two seeds.
    """
    scores = np.stack([val] if evaluation is None else [val, evaluation])
    counts = (~np.isnan(val)).sum(axis=1)
    known = np.flatnonzero(counts > 0)
    if 2 * (counts[known] > 1).sum() < known.size or counts.max(initial=0) < 2:
        return ()
    noise = _Noise.of(scores[:, known], silent[known])
    drawn = noise.draw(rng, n_resamples)
    sweeps = []
    for surface in _surfaces(noise):
        whole, truth = surface[:, None] + drawn, surface
        if known.size < len(val):
            whole, truth = (_spread(one, known, len(val)) for one in (whole, truth))
        sweeps.append(RepeatedSweeps(whole[0], whole[-1], truth[0], truth[-1]))
    return tuple(sweeps)


def _spread(values: Floats, known: NDArray[np.intp], n: int) -> Floats:
    """Values of the known configurations among all n; NaN for the others."""
    spread = np.full((*values.shape[:-1], n), math.nan)
    spread[..., known] = values
    return spread


@dataclass(frozen=True, slots=True)
class _Noise:
    """Covariances of M scores (validation, evaluation) of the means of C configurations."""

    means: Floats  # [M, C]
    of_seed: Floats  # [C, M, M]
    of_trial: Floats  # [C, M, M]
    most: Floats  # [M, C], the largest upward error of the trials' noise
    seed_freedom: int
    trial_freedom: int

    @classmethod
    def of(cls, scores: Floats, silent: NDArray[np.bool_]) -> "_Noise":
        """Estimate it from [M, C, S] scores; every configuration has one at least."""
        seeds = (~np.isnan(scores[0])).sum(axis=1)
        means = np.nanmean(scores, axis=2)
        better = _better_half(means[0], seeds, silent)
        residuals = scores - means[..., None]
        present = ~np.isnan(residuals[0, better]).all(axis=0)
        effects = np.nanmean(residuals[:, better][..., present], axis=1)
        seed_freedom = max(1, effects.shape[1] - 1)
        of_seed = effects @ effects.T / seed_freedom
        left = residuals[..., present] - effects[:, None]
        left = np.where(np.isnan(left), 0.0, left - np.nanmean(left, axis=2, keepdims=True))
        squares = np.einsum("acj,bcj->cab", left, left)
        freedom = max(1, int((seeds[better] - 1).sum()) - seed_freedom)
        pooled = squares[better].sum(axis=0) / freedom
        own = squares / np.maximum(1, seeds - 1)[:, None, None]
        covariance = np.where(seeds[:, None, None] > 1, (pooled + own) / 2, pooled)
        covariance[better] = pooled
        covariance[silent] = 0.0
        per_mean = seeds[:, None, None]
        # One diverged seed of three gives a wide error, but the mean does not reach the other two.
        above = np.nanmax(scores, axis=2) - means
        usual = _MOST_USUAL * np.sqrt(np.diagonal(pooled)[:, None] / seeds)
        most = np.maximum(above, usual)
        most[:, better] = np.inf
        shared = np.where(silent[:, None, None], 0.0, of_seed / per_mean)
        return cls(means, shared, covariance / per_mean, most, seed_freedom, freedom)

    @property
    def standard_errors(self) -> Floats:
        """[M, C] of the trials' noise in each mean."""
        return np.sqrt(np.diagonal(self.of_trial, axis1=1, axis2=2)).T

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """[M, n, C] errors of means; Student-like, since the variances are estimates."""
        m, c = self.means.shape
        seeds = rng.standard_normal((m, n, 1)) * _student(rng, self.seed_freedom, n)
        trials = rng.standard_normal((m, n, c)) * _student(rng, self.trial_freedom, n)
        drawn = np.zeros((m, n, c))
        of_seed, of_trial = _root(self.of_seed), _root(self.of_trial)
        for row, column in np.ndindex(m, m):
            drawn[row] += of_trial[:, row, column] * trials[column]
        np.minimum(drawn, self.most[:, None], out=drawn)
        for row, column in np.ndindex(m, m):
            drawn[row] += of_seed[:, row, column] * seeds[column]
        return drawn


def _better_half(means: Floats, seeds: NDArray[np.intp], silent: NDArray[np.bool_]) -> list[int]:
    """Indices of the best half of the configurations with two seeds, three at least."""
    usable = np.flatnonzero((seeds > 1) & ~silent)
    if not usable.size:
        usable = np.flatnonzero(seeds > 1)
    ranked = usable[np.argsort(-means[usable], kind="stable")]
    kept: list[int] = ranked[: max(_LEAST_POOLED, -(-ranked.size // 2))].tolist()
    return kept


def _surfaces(noise: _Noise) -> Iterator[Floats]:
    """The plausible true scores, each [M, C]: without noise differences, observed, far apart."""
    pairs = list(zip(noise.means, noise.standard_errors, strict=True))
    yield np.stack([_flattened(mean, error) for mean, error in pairs])
    yield noise.means
    ranks = np.argsort(np.argsort(noise.means, axis=1, kind="stable"), axis=1, kind="stable")
    yield noise.means + ranks * (_FAR_APART * noise.standard_errors.max(axis=1, keepdims=True))


def _flattened(means: Floats, errors: Floats) -> Floats:
    """Means without the differences within noise: groups, from the best down, by their mean."""
    order = np.argsort(-means, kind="stable").tolist()
    flat = means.copy()
    start = 0
    for at in range(1, len(order) + 1):
        first = order[start]
        if at < len(order):
            width = math.sqrt((errors[first] ** 2 + errors[order[at]] ** 2) / 2)
            if means[first] - means[order[at]] <= _WITHIN_NOISE * width:
                continue
        flat[order[start:at]] = means[order[start:at]].mean()
        start = at
    return flat


def _student(rng: np.random.Generator, freedom: int, n: int) -> Floats:
    """[n, 1] factors that turn normal draws into Student's t."""
    factors: Floats = np.sqrt(freedom / rng.chisquare(freedom, size=(n, 1)))
    return factors


def _root(covariances: Floats) -> Floats:
    """Square roots of [C, M, M] covariances, which may be singular."""
    values, vectors = np.linalg.eigh(covariances)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return root
