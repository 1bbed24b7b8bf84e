"""Comparison of every pair of optimizers of a sweep, and of all of them at once.

Optimizers are compared configuration by configuration where they search the same space. Where they
do not, a shared configuration is a coincidence: only their selected configurations are compared,
over seeds.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from service.sensitivity import rank_tests
from service.sensitivity.axis_schemas import AxisDifference
from service.sensitivity.dependence import Dependence
from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.schemas import Comparisons, PairComparison
from service.sensitivity.scores import Scores
from service.sensitivity.statistics import SCORE_DECIMALS, known_mean, selected
from service.sensitivity.strict_schema import Interval, finite
from workers.scores import Score

__all__ = ["common_scores", "compare"]


def compare(
    scored: Sequence[Scores], score: Score, dependences: Sequence[Dependence]
) -> Comparisons:
    """Compare optimizers, on the configurations they share where they search the same space.

    Args:
        scored: At least two optimizers.
        score: What ranks configurations.
        dependences: Of each optimizer, on the evaluation scores.
    """
    labels = [scores.trials.label for scores in scored]
    together = common_scores(scored)
    blocks = len(together)
    enough = blocks >= rank_tests.MIN_BLOCKS
    ranks = rank_tests.mean_ranks(together) if blocks else None
    nemenyi = rank_tests.nemenyi(ranks, blocks) if enough and ranks is not None else None
    pairs = [
        _pair(
            scored[a],
            scored[b],
            score,
            _axis_differences(scored[a], scored[b], dependences[a], dependences[b]),
            None if nemenyi is None else float(nemenyi[a, b]),
        )
        for a, b in itertools.combinations(range(len(scored)), 2)
    ]
    chi2, p_value = (
        rank_tests.friedman(together) if enough and len(scored) > 2 else (math.nan, math.nan)
    )
    return Comparisons(
        n_blocks=blocks,
        pairs=_adjust(pairs),
        mean_rank=None if ranks is None else dict(zip(labels, ranks.tolist(), strict=True)),
        friedman_chi2=finite(chi2),
        friedman_p=finite(p_value),
        critical_difference=rank_tests.critical_difference(len(scored), blocks) if enough else None,
    )


def common_scores(scored: Sequence[Scores]) -> Floats:
    """Scores on the configurations that every optimizer was tried at, [blocks, optimizers].

    There is none where the optimizers search different spaces.
    """
    return np.stack(
        [scores.evaluation[at] for scores, at in zip(scored, _common(scored), strict=True)], axis=1
    )


def _common(scored: Sequence[Scores]) -> list[list[int]]:
    """For each optimizer the indices of the configurations that every optimizer has a score for."""
    first = scored[0].trials
    if not all(first.has_space_of(scores.trials) for scores in scored[1:]):
        return [[] for _ in scored]
    if all(
        scores.trials.axes == first.axes and np.array_equal(scores.trials.places, first.places)
        for scores in scored
    ):  # the same configurations in the same order
        known = np.logical_not(np.isnan([scores.evaluation for scores in scored]).any(axis=0))
        return [np.flatnonzero(known).tolist()] * len(scored)
    names = [axis.name for axis in first.axes]
    places = [
        {
            tuple(configuration[name] for name in names): index
            for index, configuration in enumerate(scores.trials.configurations)
            if not math.isnan(scores.evaluation[index])
        }
        for scores in scored
    ]
    shared = [place for place in places[0] if all(place in other for other in places[1:])]
    return [[index[place] for place in shared] for index in places]


def _axis_differences(
    a: Scores, b: Scores, of_a: Dependence, of_b: Dependence
) -> dict[str, AxisDifference]:
    """Differences of the dependence on each hyperparameter, where both search the same space."""
    if not a.trials.has_space_of(b.trials):
        return {}
    difference = of_a.less(of_b)
    prefixes = tuple(f"{axis.name}." for axis in a.trials.axes)
    return {
        name: AxisDifference(
            value=finite(value),
            interval=interval(
                float(value), [error[name] for error in difference.errors], (-math.inf, math.inf)
            ),
        )
        for name, value in difference.numbers.items()
        if name.startswith(prefixes)
    }


def _pair(
    a: Scores,
    b: Scores,
    score: Score,
    axis_differences: dict[str, AxisDifference],
    nemenyi_p: float | None,
) -> PairComparison:
    """Compare one pair; its p-value is not adjusted yet."""
    of_a, of_b = _common((a, b))
    differences = np.round(a.evaluation[of_a] - b.evaluation[of_b], SCORE_DECIMALS)
    any_block = bool(differences.size)
    w_plus, n, p_value = rank_tests.wilcoxon(differences)
    same_space = a.trials.has_space_of(b.trials)
    blocks = (of_a, of_b) if same_space else ([a.selected], [b.selected])
    improvement = rank_tests.probability_of_improvement(
        a.evaluation_trials[blocks[0]], b.evaluation_trials[blocks[1]]
    )
    best = float(a.evaluation[a.selected] - b.evaluation[b.selected])
    mean = float(differences.mean()) if any_block else math.nan
    return PairComparison(
        a=a.trials.label,
        b=b.trials.label,
        same_space=same_space,
        n_blocks=differences.size,
        mean_difference=finite(mean),
        mean_difference_interval=_mean_interval(mean, a, b, of_a, of_b, score),
        median_difference=float(np.median(differences)) if any_block else None,
        best_difference=best,
        best_difference_interval=_selected_interval(best, a, b, score),
        axis_differences=axis_differences,
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        probability_of_improvement=finite(improvement),
        wilcoxon_w_plus=w_plus if any_block else None,
        wilcoxon_n=n if any_block else None,
        wilcoxon_p=p_value if any_block else None,
        wilcoxon_p_holm=None,
        nemenyi_p=nemenyi_p,
    )


def _mean_interval(
    estimate: float, a: Scores, b: Scores, of_a: list[int], of_b: list[int], score: Score
) -> Interval | None:
    """Seed interval of the mean difference over common configurations."""
    return _difference_interval(
        estimate,
        _errors(a, lambda _, values: known_mean(values[:, of_a])),
        _errors(b, lambda _, values: known_mean(values[:, of_b])),
        score,
    )


def _selected_interval(estimate: float, a: Scores, b: Scores, score: Score) -> Interval | None:
    """Seed interval of the difference between the selected configurations."""
    return _difference_interval(estimate, _errors(a, selected), _errors(b, selected), score)


def _errors(scores: Scores, statistic: Callable[[Floats, Floats], Floats]) -> list[Floats]:
    """Errors of one statistic of one optimizer on each surface."""
    return [
        repeated.errors(lambda by, values: {"": statistic(by, values)})[""]
        for repeated in scores.repeated
    ]


def _difference_interval(
    estimate: float, of_a: list[Floats], of_b: list[Floats], score: Score
) -> Interval | None:
    """Interval of a difference; the noise of the optimizers is taken to be independent."""
    if not (of_a and of_b):
        return None
    errors = [a - b for a, b in zip(of_a, of_b, strict=True)]
    return interval(estimate, errors, score.signed_differences)


def _adjust(pairs: list[PairComparison]) -> list[PairComparison]:
    """Holm's adjustment over the pairs that have a p-value."""
    tested = [pair.wilcoxon_p for pair in pairs if pair.wilcoxon_p is not None]
    adjusted = iter(rank_tests.holm(tested))
    return [
        pair
        if pair.wilcoxon_p is None
        else pair.model_copy(update={"wilcoxon_p_holm": next(adjusted)})
        for pair in pairs
    ]
