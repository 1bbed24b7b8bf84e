"""The flattest optimizer is never named without what flatness says of accuracy."""

from dataclasses import replace

import numpy as np
import pytest

from service.sensitivity import TrialTable, summarize


def with_curvature(table: TrialTable, sign: float) -> TrialTable:
    """The same trials, with a curvature that rises (or falls) with accuracy."""
    results = [
        trial
        if trial.ood_accuracy is None
        else replace(trial, hessian_trace={"ood": float(np.exp(sign * trial.ood_accuracy))})
        for trial in table.results()
    ]
    return TrialTable.from_results(results, chance_accuracy=table.chance_accuracy)


def named(table: TrialTable) -> str:
    """The sentence of the optimizer with the flattest trace."""
    summary = summarize(table)
    label = summary.flattest["hessian_trace"]["ood"]
    assert label is not None
    return summary.optimizer(label).sentence


@pytest.mark.parametrize(("sign", "words"), [(-1, "more accurate"), (1, "less accurate")])
def test_sentence_says_how_flatness_and_accuracy_correlate(
    sign: float, words: str, oracle_table: TrialTable
) -> None:
    text = named(with_curvature(oracle_table, sign))
    assert f"flatter configurations are {words} here, granulated Kendall" in text


def test_sweep_has_the_mean_of_the_optimizers_granulated_correlations(
    oracle_table: TrialTable,
) -> None:
    summary = summarize(oracle_table)
    found = summary.flatness_correlation["hessian_trace"]["ood"]
    each = [s.curvature_correlation["hessian_trace"]["ood"] for s in summary.optimizers]
    psi = [one.granulated_kendall["psi"] for one in each]
    assert found.granulated_kendall == pytest.approx(np.mean(psi), abs=1e-12)
    assert found.kendall_tau == pytest.approx(np.mean([one.kendall_tau for one in each]), abs=1e-12)
    assert found.n_optimizers == len(summary.optimizers)
    assert found.n_configurations == sum(one.n for one in each)


@pytest.mark.slow
def test_off_the_grid_the_sentence_has_plain_kendall(oracle_table: TrialTable) -> None:
    table = TrialTable.from_results(oracle_table.results(), chance_accuracy=0.1, search="random")
    assert " here, Kendall's tau " in named(table)


def test_undefined_correlation_is_stated(oracle_table: TrialTable) -> None:
    results = [
        replace(trial, hessian_trace={"ood": 1.0}) if trial.ood_accuracy else trial
        for trial in oracle_table.results()
    ]
    table = TrialTable.from_results(results, chance_accuracy=0.1)
    assert "no correlation with accuracy is known here" in named(table)
