"""The configuration that validation selects, and what was measured there."""

from collections.abc import Callable, Mapping

from service.sensitivity import flatness_correlation, statistics
from service.sensitivity.axis_schemas import OnGridEdge
from service.sensitivity.configuration_schemas import BestConfig, Calibration, CurvatureValue
from service.sensitivity.curvature_summary import curvature_at
from service.sensitivity.optimizer_trials import OptimizerTrials
from service.sensitivity.scores import Scores
from service.sensitivity.strict_schema import Interval, finite
from service.sensitivity.trial_result import TrialResult
from service.sensitivity.trial_table import TrialTable
from workers.spec.configuration import Value, thaw_value

__all__ = ["selected_configuration"]


def selected_configuration(
    scores: Scores,
    table: TrialTable,
    best_val: float,
    evaluation_interval: Interval | None,
    val_interval: Interval | None,
) -> BestConfig:
    """The configuration that validation selects, with all its measurements.

    Args:
        scores: Of the optimizer; at least one trial has finished.
        table: The whole sweep.
        best_val: Best validation score of any optimizer, which decides what counts as learned.
        evaluation_interval: Seed interval of the selected configuration's evaluation score.
        val_interval: That of its validation score.
    """
    trials, at, score = scores.trials, scores.selected, table.score
    chosen = trials.configuration(at)
    n_seeds = int(trials.finished[at].sum())

    def seed_mean(read: Callable[[TrialResult], float | None]) -> float | None:
        return finite(statistics.known_mean(trials.measured(read, at)))

    def curvatures(metric: str) -> dict[str, CurvatureValue]:
        found = {split: curvature_at(trials, at, metric, split) for split in table.curvature_splits}
        return {split: value for split, value in found.items() if value is not None}

    def calibration(split: str, loss: Callable[[TrialResult], float | None]) -> Calibration:
        return Calibration(
            nll=seed_mean(loss),
            brier=seed_mean(lambda trial: trial.brier.get(split)),
            ece=seed_mean(lambda trial: trial.ece.get(split)),
        )

    calibrations = {
        "validation": calibration("validation", lambda trial: trial.val_loss),
        "ood": calibration("ood", lambda trial: trial.ood_loss),
    }
    val, evaluation = float(scores.val[at]), float(scores.evaluation[at])
    val_score = score.oriented(val)
    ood_score = score.oriented(evaluation) if table.has_ood else None
    ood_interval = evaluation_interval if table.has_ood else None
    is_accuracy = score.name == "accuracy"
    accuracies = (
        (val_score, ood_score)
        if is_accuracy
        else (
            seed_mean(lambda trial: trial.val_accuracy),
            seed_mean(lambda trial: trial.ood_accuracy),
        )
    )
    return BestConfig(
        hyperparameters={name: thaw_value(value) for name, value in chosen.items()},
        learning_rate=chosen.get("learning_rate"),
        weight_decay=chosen.get("weight_decay"),
        on_grid_edge=OnGridEdge(
            learning_rate=_on_edge("learning_rate", trials, chosen),
            weight_decay=_on_edge("weight_decay", trials, chosen),
        ),
        val_score=val_score,
        val_score_interval=val_interval,
        ood_score=ood_score,
        ood_score_interval=ood_interval,
        val_accuracy=accuracies[0],
        val_accuracy_interval=val_interval if is_accuracy else None,
        raised_to_chance=[metric for metric in score.metrics if trials.raised(metric)[at].any()],
        ood_accuracy=accuracies[1],
        ood_accuracy_interval=ood_interval if is_accuracy else None,
        val_loss=seed_mean(lambda trial: trial.val_loss),
        ood_loss=seed_mean(lambda trial: trial.ood_loss),
        calibration={
            split: found
            for split, found in calibrations.items()
            if found.brier is not None or found.ece is not None
        },
        hessian_trace=curvatures("hessian_trace"),
        hessian_lambda_max=curvatures("hessian_lambda_max"),
        learned=bool(flatness_correlation.learned(scores.val, best_val, table.chance)[at]),
        n_seeds=n_seeds,
    )


def _on_edge(name: str, trials: OptimizerTrials, chosen: Mapping[str, Value]) -> bool | None:
    """Whether the chosen value of an axis is the smallest or largest; None without the axis."""
    index = trials.axis_index(name)
    return None if index is None else trials.axes[index].is_on_edge(chosen[name])
