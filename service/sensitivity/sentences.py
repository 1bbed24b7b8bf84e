"""Sentences: the main findings on each optimizer, and why an optimizer has none."""

from collections.abc import Iterator, Mapping

from service.sensitivity.number_format import split_label
from service.sensitivity.optimizer_schemas import OptimizerSummary, UnscoredOptimizer
from service.sensitivity.optimizer_trials import OptimizerTrials
from service.sensitivity.schemas import FlatnessCorrelation
from service.sensitivity.strict_schema import Interval
from service.sensitivity.trial_table import TrialTable
from workers.metrics import METRICS, Outcome
from workers.scores import Score

__all__ = ["sentence", "unscored"]

_USUAL_AXES = {"learning_rate", "weight_decay"}
_WEAK_CORRELATION = 0.1


def sentence(
    summary: OptimizerSummary,
    flattest: Mapping[str, Mapping[str, str | None]],
    correlation: Mapping[str, Mapping[str, FlatnessCorrelation]],
    score: Score,
) -> str:
    """The main findings on one optimizer in one sentence.

    Args:
        summary: Of the optimizer.
        flattest: Label of the flattest optimizer that learned, by metric and split.
        correlation: How curvature and the score correlate within the sweep, likewise; always said
            with the flattest one, because flat is not accurate.
        score: What ranks configurations.
    """
    best, near = summary.best_config, summary.near_optimal_fraction
    value = best.val_score if best.ood_score is None else best.ood_score
    split = "validation" if best.ood_score is None else "OOD"
    parts = [
        f"{score.quantity(value)} {split} {score.name} at its selected configuration",
    ]
    if summary.n_configs > 1:
        parts.append(
            f"within {score.points(near.epsilon)} of the best on {near.shared_best_count} of"
            f" {summary.n_configs} configurations"
        )
    parts.append(_off_by(summary, score))
    others = {
        axis.title: axis.sensitivity
        for name, axis in summary.axes.items()
        if name != "learning_rate" and axis.sensitivity is not None
    }
    most = max(others, key=others.__getitem__, default=None)
    if most is not None and _varies_more_than_usual(summary):
        parts.append(f"{score.points(others[most])} between its best and its mean {most}")
    if summary.n_raised_to_chance:
        parts.append(f"{summary.n_raised_to_chance} trials {score.below_guess} count as chance")
    if summary.n_diverged:
        parts.append(f"{summary.n_diverged} of {summary.n_trials} trials diverged")
    flat = [
        f"{METRICS[metric].title} {split_label(split)}:"
        f" {_meaning(correlation[metric][split], score)}"
        for metric, splits in flattest.items()
        for split, label in splits.items()
        if label == summary.optimizer
    ]
    if flat:
        parts.append(f"flattest of those that learned ({'; '.join(flat)})")
    if not best.learned:
        parts.append("hardly learned, so its flatness means nothing")
    return f"{summary.title}: {'; '.join(parts)}."


def _meaning(correlation: FlatnessCorrelation, score: Score) -> str:
    """What flatness says of the score within the sweep."""
    name, value = "granulated Kendall", correlation.granulated_kendall
    if value is None:
        name, value = "Kendall's tau", correlation.kendall_tau
    if value is None:
        return f"no correlation with {score.name} is known here"
    if abs(value) < _WEAK_CORRELATION:
        meaning = f"flatness hardly correlates with {score.name} here"
    else:
        meaning = f"flatter configurations {score.ranked(better=value < 0)} here"
    return f"{meaning}, {name} {value:+.2f}, {correlation.n_configurations} configurations"


def _varies_more_than_usual(summary: OptimizerSummary) -> bool:
    """Whether an optimizer's search varies more than learning rate and weight decay."""
    own = {name for name, axis in summary.axes.items() if axis.kind is not None}
    return not own <= _USUAL_AXES


def _off_by(summary: OptimizerSummary, score: Score) -> str:
    """What a wrong learning rate costs, or the nearest that these trials can answer."""
    if summary.n_configs == 1:
        return "one configuration has a result, so its dependence on tuning is unknown"
    losses = [
        (off, _corrected(off.loss, off.loss_interval))
        for off in (summary.lr_tolerance.off_by if summary.lr_tolerance else ())
    ]
    known = [(off, loss) for off, loss in losses if loss is not None]
    if known:
        shown = [known[0]] if len(known) == 1 else [known[0], known[-1]]
        costs = [f"{score.points(loss)} if {off.factor:g} times off" for off, loss in shown]
        return f"{score.cost_verb} {' and '.join(costs)} in learning rate"
    for off, _ in losses:
        for side, loss, interval in (
            ("small", off.too_small, off.too_small_interval),
            ("large", off.too_large, off.too_large_interval),
        ):
            corrected = _corrected(loss, interval)
            if corrected is not None:
                return (
                    f"{score.cost(corrected)} with a learning rate {off.factor:g} times too"
                    f" {side}; the other side is unknown, since the best is on the edge of the grid"
                )
    regret = _corrected(summary.mean_regret, summary.intervals.get("mean_regret"))
    if summary.lr_sensitivity is not None:
        sensitivity = _corrected(summary.lr_sensitivity, summary.intervals.get("lr_sensitivity"))
        return f"{score.cost(sensitivity or 0.0)} between its best and its mean learning rate"
    rate = summary.axes.get("learning_rate")
    one = rate is not None and rate.values is not None and len(rate.values) == 1
    unknown = "one learning rate was tried, so what a wrong one costs is unknown; " if one else ""
    return f"{unknown}{score.cost(regret or 0.0)} with a random configuration"


def _corrected(value: float | None, interval: Interval | None) -> float | None:
    """A cost corrected for seed noise where there is an interval, at least 0; None if unknown.

    The correction of a cost that is lost in the noise can be below 0, which tables show.
    """
    corrected = value if interval is None or interval.estimate is None else interval.estimate
    return None if corrected is None else max(corrected, 0.0)


def unscored(table: TrialTable) -> Iterator[UnscoredOptimizer]:
    """The optimizers without a completed or diverged trial, and what became of their trials."""
    for trials in table.by_optimizer:
        if trials.finished.any():
            continue
        outcomes = _outcomes(trials)
        reason = _reason(outcomes, trials.n_planned, ended=table.ended)
        yield UnscoredOptimizer(
            optimizer=trials.label,
            title=trials.title,
            reason=reason,
            outcomes=outcomes,
            sentence=f"{trials.title}: no result, since {reason}.",
        )


def _outcomes(trials: OptimizerTrials) -> dict[str, int]:
    """Planned trials of an optimizer by outcome; what has not ended is unfinished."""
    found: dict[str, int] = {}
    for of_config in trials.results:
        for trial in of_config:
            if trial is not None and trial.outcome is not None:
                name = str(Outcome(trial.outcome))
                found[name] = found.get(name, 0) + 1
    left = trials.n_planned - sum(found.values())
    return found | ({"unfinished": left} if left > 0 else {})


def _reason(outcomes: Mapping[str, int], n_planned: int, *, ended: bool) -> str:
    """What became of the trials, in words."""
    words = {
        Outcome.FAILED: "failed",
        Outcome.CANCELLED: "were cancelled",
        Outcome.PRUNED: "were stopped early",
        Outcome.COMPLETED: "completed without every score that this sweep measures",
        "unfinished": "never ran to the end" if ended else "have not ended yet",
    }
    if len(outcomes) == 1:
        ((name, count),) = outcomes.items()
        which = f"all {count} trials" if count > 1 else "its only trial"
        word = words[name]
        if count == 1:
            word = word.replace("were ", "was ").replace("have ", "has ")
        return f"{which} {word}"
    parts = [f"{count} {words[name]}" for name, count in outcomes.items()]
    return f"of {n_planned} trials {', '.join(parts[:-1])} and {parts[-1]}"
