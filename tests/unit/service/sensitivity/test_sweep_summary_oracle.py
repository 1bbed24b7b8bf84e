"""Every statistic of the oracle, through the one public function."""

from typing import Any

import numpy as np
import pytest

from service.sensitivity import SweepSummary, TrialTable, summarize
from service.sensitivity.scores import score
from service.sensitivity.selection_curves import cumulative_performance, expected_best

OPTIMIZERS = ("SA-SAM", "MSGD", "Adam")


@pytest.fixture(scope="module")
def summary(oracle_table: TrialTable) -> SweepSummary:
    return summarize(oracle_table)


def close(expected: Any) -> Any:
    """Within 1e-9 where it is a number, equal where it is not (None, labels)."""
    if isinstance(expected, dict):
        return {name: close(value) for name, value in expected.items()}
    if isinstance(expected, list):
        return [close(value) for value in expected]
    if expected is None or isinstance(expected, str):
        return expected
    return pytest.approx(expected, abs=1e-9, rel=0)


@pytest.mark.parametrize("label", OPTIMIZERS)
@pytest.mark.parametrize(
    "name",
    [
        "n_configs",
        "n_trials",
        "n_diverged",
        "n_configs_any_diverged",
        "n_configs_all_diverged",
        "divergence_rate",
        "oracle_ood_accuracy",
        "selection_regret",
        "mean_regret",
        "mean_regret_val",
        "lr_sensitivity",
        "lr_sensitivity_val",
        "lr_sensitivity_wd_marginal",
        "lr_curve",
        "wd_sensitivity",
        "wd_curve",
    ],
)
def test_summarize_oracle_gives_plain_statistics(
    summary: SweepSummary, oracle: Any, label: str, name: str
) -> None:
    found = getattr(summary.optimizer(label), name)
    assert found == close(oracle["per_optimizer"][label][name])


@pytest.mark.parametrize("label", OPTIMIZERS)
def test_summarize_oracle_gives_grouped_statistics(
    summary: SweepSummary, oracle: Any, label: str
) -> None:
    found, expected = summary.optimizer(label), oracle["per_optimizer"][label]
    wilson = found.divergence_rate_interval
    assert [wilson.low, wilson.high] == close(expected["divergence_rate_wilson95"])
    accuracy = dict(expected["ood_accuracy"])
    assert found.ood_accuracy is not None
    assert found.ood_accuracy.iqm == close(accuracy.pop("iqm_over_trials"))
    assert found.ood_accuracy.model_dump(exclude={"iqm"}) == close(accuracy)
    near = found.near_optimal_fraction
    assert near.model_dump(exclude={"shared_best_count"}) == close(
        expected["near_optimal_fraction"]
    )
    gains, default = dict(expected["tunability"]), expected["tunability"]["default"]
    assert found.tunability is not None
    assert found.tunability.model_dump() == close(
        {
            "default_learning_rate": default["learning_rate"],
            "default_weight_decay": default["weight_decay"],
            "default_score": gains["default_ood_accuracy"],
            "default_accuracy": gains["default_ood_accuracy"],
            "overall": gains["overall"],
            "learning_rate": gains["learning_rate"],
            "weight_decay": gains["weight_decay"],
        }
    )
    assert found.hyperparameter_importance is not None
    assert found.hyperparameter_importance.method == "exact"
    assert found.hyperparameter_importance.model_dump(exclude={"method"}) == close(
        expected["hyperparameter_importance"]
    )
    hits = found.trials_to_target
    assert hits.model_dump() == close(expected["trials_to_target"])


@pytest.mark.parametrize("label", OPTIMIZERS)
def test_summarize_oracle_gives_best_config(summary: SweepSummary, oracle: Any, label: str) -> None:
    found, expected = summary.optimizer(label).best_config, oracle["per_optimizer"][label]
    best = expected["best_config"]
    for name in ("learning_rate", "weight_decay", "val_accuracy", "ood_accuracy"):
        assert getattr(found, name) == close(best[name])
    assert found.on_grid_edge.model_dump() == best["on_grid_edge"]
    assert found.hessian_trace["ood"].value == close(best["hessian_trace"])
    assert found.hessian_lambda_max["ood"].value == close(best["hessian_lambda_max"])


@pytest.mark.parametrize("label", OPTIMIZERS)
def test_summarize_oracle_gives_selection_curves(
    oracle_table: TrialTable, summary: SweepSummary, oracle: Any, label: str
) -> None:
    expected = oracle["per_optimizer"][label]
    best = expected["expected_max_val_accuracy"]
    found = summary.optimizer(label)
    assert found.expected_max_val_accuracy.values == close(best["without_replacement"])
    assert found.expected_selected_ood_accuracy is not None
    assert found.expected_selected_ood_accuracy.values == close(
        expected["expected_selected_ood_accuracy"]
    )
    drawn = summarize(oracle_table, replacement=True).optimizer(label)
    assert drawn.expected_max_val_accuracy.values == close(best["with_replacement"])
    performance = dict(expected["cumulative_performance"])
    assert drawn.cumulative_performance.early == close(performance.pop("early_with_replacement"))
    assert found.cumulative_performance.model_dump() == close(performance)


@pytest.mark.parametrize("label", OPTIMIZERS)
@pytest.mark.parametrize("metric", ["hessian_trace", "hessian_lambda_max"])
def test_summarize_oracle_gives_curvature_correlation(
    summary: SweepSummary, oracle: Any, label: str, metric: str
) -> None:
    found = summary.optimizer(label).curvature_correlation[metric]["ood"]
    expected = oracle["per_optimizer"][label]["curvature_correlation"][f"{metric}_vs_ood_accuracy"]
    granulated = dict(expected["granulated_kendall"])
    assert found.lines_used == granulated.pop("lines_used")
    assert found.granulated_kendall == close(granulated)
    for name in ("n", "kendall_tau", "spearman_rho", "kendall_tau_diverged_as_sharpest"):
        assert getattr(found, name) == close(expected[name])


def test_summarize_oracle_gives_comparisons(summary: SweepSummary, oracle: Any) -> None:
    found, expected = summary.comparisons, oracle["comparisons"]
    assert found is not None
    for pair, wanted in zip(found.pairs, expected["pairs"], strict=True):
        assert pair.model_dump(include=set(wanted)) == close(wanted)
        p_value = expected["nemenyi_p_scikit_posthocs"][f"{pair.a}|{pair.b}"]
        assert pair.nemenyi_p == close(p_value)
    assert found.n_blocks == 16
    assert found.mean_rank == close(expected["mean_rank"])
    assert found.friedman_chi2 == close(expected["friedman_chi2"])
    # The expected value is from Demsar's table, which has q to three decimals.
    assert found.critical_difference == pytest.approx(expected["nemenyi_cd"], rel=5e-4)


@pytest.mark.parametrize("label", OPTIMIZERS)
def test_score_oracle_gives_configuration_grids(
    oracle_table: TrialTable, oracle: Any, label: str
) -> None:
    (scores,) = (s for s in score(oracle_table, resample=False) if s.trials.label == label)
    expected = oracle["per_optimizer"][label]
    np.testing.assert_allclose(
        scores.val.reshape(4, 4), expected["config_val_accuracy"], atol=1e-9, rtol=0
    )
    np.testing.assert_allclose(
        scores.evaluation.reshape(4, 4), expected["config_ood_accuracy"], atol=1e-9, rtol=0
    )


def test_summarize_dropping_the_diverged_would_flatter_adam(
    summary: SweepSummary, oracle: Any
) -> None:
    adam = summary.optimizer("Adam")
    dropped = oracle["per_optimizer"]["Adam"]["if_diverged_were_dropped"]
    assert adam.ood_accuracy is not None
    assert adam.ood_accuracy.mean < dropped["mean_ood_accuracy"] - 0.06
    assert adam.mean_regret > dropped["mean_regret"] + 0.06


def test_cumulative_performance_tiny_curve_weights_small_budgets(oracle: Any) -> None:
    tiny = oracle["tiny"]["cpe"]
    found = cumulative_performance(np.array(tiny["curve"]))
    assert [found[name] for name in ("early", "uniform", "late")] == close(
        [tiny["early"], tiny["uniform"], tiny["late"]]
    )


@pytest.mark.parametrize(
    ("replacement", "name"), [(True, "with_replacement"), (False, "without_replacement")]
)
def test_expected_best_tiny_scores_match_enumeration(
    oracle: Any, replacement: bool, name: str
) -> None:
    tiny = oracle["tiny"]["expected_max"]
    (found,) = expected_best(np.array(tiny["scores"]), replacement=replacement)
    assert found.tolist() == close(tiny[name])
