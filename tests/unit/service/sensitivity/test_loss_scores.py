"""Sweeps that are ranked by the loss: every statistic is that of accuracies on another scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from service.sensitivity import (
    FIGURES,
    InvalidOptionError,
    NotAvailableError,
    SweepToCompare,
    TrialTable,
    compare_sweeps,
    compute_figure,
    draw,
    further_test_set_table,
    gain_table,
    published_table,
    render_table,
    summarize,
)
from service.sensitivity.errors import InvalidTrialsError
from workers.metrics import Outcome
from workers.scores import SCORES

CHANCE = 0.1
GUESS = math.log(10)
SCALE = GUESS / (1 - CHANCE)
"""A loss of 0 is an accuracy of 1, the loss of a guess is the accuracy of a guess."""


def loss_of(accuracy):
    return None if accuracy is None else SCALE * (1 - accuracy)


@pytest.fixture
def accuracies(make_table):
    """Three seeds; some trials diverged, some ended below chance."""
    table = make_table(seeds=(0, 1, 2), optimizers=("SA-SAM", "MSGD", "Adam"))
    results = list(table.results())
    rng = np.random.default_rng(1)
    for at in rng.choice(len(results), 20, replace=False).tolist():
        results[at] = replace(results[at], outcome=Outcome.DIVERGED)
    for at in rng.choice(len(results), 10, replace=False).tolist():
        results[at] = replace(results[at], val_accuracy=0.02, ood_accuracy=0.01)
    return results


def table_of(results, score="accuracy"):
    if score == "loss":
        results = [
            replace(
                trial,
                val_loss=loss_of(trial.val_accuracy),
                ood_loss=loss_of(trial.ood_accuracy),
                val_accuracy=0.5,
                ood_accuracy=0.4,
            )
            for trial in results
        ]
    return TrialTable.from_results(results, chance_accuracy=CHANCE, score=SCORES[score])


DIFFERENCES = ("selection_regret", "mean_regret", "mean_regret_val", "lr_sensitivity")


@pytest.mark.slow
def test_summarize_losses_gives_costs_of_accuracies_to_scale(accuracies):
    plain = summarize(table_of(accuracies), epsilon=0.01)
    found = summarize(table_of(accuracies, "loss"), epsilon=0.01 * SCALE)
    assert found.score == "loss"
    assert found.chance_score == pytest.approx(GUESS)
    assert found.target == pytest.approx(loss_of(plain.target))
    for loss, accuracy in zip(found.optimizers, plain.optimizers, strict=True):
        for name in DIFFERENCES:
            assert getattr(loss, name) == pytest.approx(SCALE * getattr(accuracy, name), abs=1e-9)
        assert loss.best_config.hyperparameters == accuracy.best_config.hyperparameters
        assert loss.best_config.learned == accuracy.best_config.learned
        assert loss.best_config.ood_score == pytest.approx(
            loss_of(accuracy.best_config.ood_accuracy), abs=1e-9
        )
        assert loss.ood_score.mean == pytest.approx(loss_of(accuracy.ood_accuracy.mean), abs=1e-9)
        assert loss.ood_score.min == pytest.approx(loss_of(accuracy.ood_accuracy.max), abs=1e-9)
        assert loss.lr_curve == pytest.approx(list(map(loss_of, accuracy.lr_curve)), abs=1e-9)
        assert loss.expected_best_val_score.values == pytest.approx(
            list(map(loss_of, accuracy.expected_max_val_accuracy.values)), abs=1e-9
        )
        assert loss.near_optimal_fraction.shared_best == accuracy.near_optimal_fraction.shared_best
        assert loss.trials_to_target.n_hits == accuracy.trials_to_target.n_hits
        assert loss.tunability.overall == pytest.approx(
            SCALE * accuracy.tunability.overall, abs=1e-9
        )


def test_summarize_losses_gives_intervals_to_scale(accuracies):
    plain = summarize(table_of(accuracies))
    found = summarize(table_of(accuracies, "loss"))
    for loss, accuracy in zip(found.optimizers, plain.optimizers, strict=True):
        own, other = loss.intervals["mean_regret"], accuracy.intervals["mean_regret"]
        assert (own.low, own.high) == pytest.approx(
            (SCALE * other.low, SCALE * other.high), abs=1e-9
        )
        own, other = loss.intervals["ood_loss.mean"], accuracy.intervals["ood_accuracy.mean"]
        assert (own.low, own.high) == pytest.approx(
            (loss_of(other.high), loss_of(other.low)), abs=1e-9
        )
        assert 0 <= own.low <= loss.ood_score.mean <= own.high


def test_summarize_losses_compares_optimizers_like_accuracies(accuracies):
    plain = summarize(table_of(accuracies)).comparisons
    found = summarize(table_of(accuracies, "loss")).comparisons
    assert found.mean_rank == pytest.approx(plain.mean_rank)
    for loss, accuracy in zip(found.pairs, plain.pairs, strict=True):
        assert (loss.wins, loss.losses) == (accuracy.wins, accuracy.losses)
        assert loss.mean_difference == pytest.approx(SCALE * accuracy.mean_difference, abs=1e-9)
        assert loss.probability_of_improvement == pytest.approx(accuracy.probability_of_improvement)


def test_summarize_losses_leaves_no_score_under_the_name_of_accuracy(accuracies):
    found = summarize(table_of(accuracies, "loss")).optimizers[0]
    assert found.val_accuracy is found.ood_accuracy is found.expected_max_val_accuracy is None
    assert found.best_config.val_accuracy == pytest.approx(0.5)  # as measured


def test_lay_out_diverged_loss_counts_as_that_of_a_guess(make_result):
    results = [
        make_result(seed=0, val_loss=0.5, ood_loss=0.9),
        make_result(seed=1, outcome=Outcome.DIVERGED, val_accuracy=None, ood_accuracy=None),
        make_result(seed=2, val_loss=1e9, ood_loss=1e9),
        make_result(seed=3, val_loss=math.inf, ood_loss=1.0),
    ]
    trials = TrialTable.from_results(
        results, chance_accuracy=CHANCE, score=SCORES["loss"]
    ).by_optimizer[0]
    assert (-trials.val[0]).tolist() == pytest.approx([0.5, GUESS, GUESS, GUESS])
    assert trials.n_below_chance == 1


def test_from_results_negative_loss_is_refused(make_result):
    with pytest.raises(InvalidTrialsError, match="val_loss -1"):
        TrialTable.from_results([make_result(val_loss=-1.0)], chance_accuracy=CHANCE)


def test_from_results_loss_of_unknown_classes_is_refused(make_result):
    with pytest.raises(NotAvailableError, match="number of classes"):
        TrialTable.from_results([make_result()], chance_accuracy=0.0, score=SCORES["loss"])


def test_summarize_negative_epsilon_is_refused(accuracies):
    with pytest.raises(InvalidOptionError, match="at least 0, as the score is loss"):
        summarize(table_of(accuracies, "loss"), epsilon=-0.1)


def test_sentence_speaks_of_the_loss(accuracies):
    summary = summarize(table_of(accuracies, "loss"))
    assert "nats OOD loss at its selected configuration" in summary.optimizers[0].sentence
    assert "its loss rises by" in summary.optimizers[0].sentence
    assert "accuracy" not in " ".join(summary.optimizers[0].sentence.split())
    table = render_table(summary)
    assert {"val loss", "OOD loss", "mean OOD loss", "lr 2x off"} <= set(table.columns)
    assert table.legend.startswith("Losses and costs in nats")
    published = published_table(summary)
    assert any(
        column.startswith("median best of") and "loss" in column for column in published.columns
    )
    assert "Nats of loss" in gain_table(summary).notes[0]


def test_tables_of_further_test_sets_show_the_loss(accuracies):
    results = [
        replace(trial, val_loss=1.0, ood_loss=1.0, test_loss={"new-v1": 1.25}, test_accuracy={})
        for trial in accuracies
    ]
    table = TrialTable.from_results(results, chance_accuracy=CHANCE, score=SCORES["loss"])
    summary = summarize(table)
    shown = further_test_set_table(summary)
    for row, optimizer in zip(shown.rows, summary.optimizers, strict=True):
        found = optimizer.test_sets["new-v1"]
        assert 1.25 <= found.score < GUESS
        assert row[1].startswith(f"{found.score:.3f} [{found.score_interval.low:.3f}, ")
        assert found.accuracy is None
    assert shown.notes == ("Loss in nats at the configuration that validation selects.",)


def test_sentence_of_a_wrong_learning_rate_is_of_the_loss(accuracies):
    completed = [trial for trial in accuracies if trial.outcome == Outcome.COMPLETED]
    first = summarize(table_of(completed, "loss")).optimizers[0]
    cost = first.lr_tolerance.off_by[0].loss_interval.estimate
    assert f"its loss rises by {SCORES['loss'].points(cost)} if 2 times off" in first.sentence


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_figure_of_losses_is_drawn(accuracies, name):
    table = table_of(accuracies, "loss")
    options = {"metric": "ood_loss"} if name == "heatmap" else {}
    figure = compute_figure(name, table, **options)
    assert draw(figure)
    if name == "accuracy-heatmap":
        assert figure.title.startswith("OOD loss")
        assert figure.scales["low"] > figure.scales["high"]  # the bright end is the lower loss
        best = min(figure.records, key=lambda record: record["value"])
        assert best["shade"] == pytest.approx(1.0)


def test_heatmap_of_losses_has_the_shades_and_marks_of_accuracies(accuracies):
    """As the colours of accuracies, for a span below the best as well."""
    plain, found = table_of(accuracies), table_of(accuracies, "loss")
    for spans in ((None, None), ("20", f"{0.2 * SCALE}")):
        accuracy = compute_figure("heatmap", plain, metric="ood_accuracy", span=spans[0])
        loss = compute_figure("heatmap", found, metric="ood_loss", span=spans[1])
        for ours, theirs in zip(accuracy.records, loss.records, strict=True):
            assert theirs["shade"] == pytest.approx(ours["shade"], abs=1e-9)
            assert theirs["raised"] == ours["raised"]
        assert any(record["raised"] for record in loss.records)
        assert loss.scales["low"] == pytest.approx(loss_of(accuracy.scales["low"]))
    assert "‡: with a trial with a loss above chance, which counts as chance" in " ".join(
        loss.notes
    )
    assert "colours begin at" in " ".join(loss.notes)
    for span in ("0", "inf", "much"):
        with pytest.raises(InvalidOptionError, match="nats is not a number above 0"):
            compute_figure("heatmap", found, metric="ood_loss", span=span)


@pytest.mark.parametrize("score", SCORES)
def test_network_that_only_guesses_has_not_learned(make_result, score):
    """Where the score of a guess is no short decimal, 1 / 6 or ln 6."""
    results = [
        make_result(
            learning_rate=rate,
            outcome=Outcome.DIVERGED,
            val_accuracy=0.1,
            ood_accuracy=None,
            val_loss=9.0,
        )
        for rate in (0.01, 0.1)
    ]
    table = TrialTable.from_results(results, chance_accuracy=1 / 6, score=SCORES[score])
    (found,) = summarize(table).optimizers
    assert not found.best_config.learned
    assert found.published.score_profile is None
    assert found.published.undefined["score_profile"].code == "nothing_learned"


def test_heatmap_of_a_loss_that_is_not_the_score_is_of_completed_trials(accuracies):
    results = [replace(trial, val_loss=loss_of(trial.val_accuracy)) for trial in accuracies]
    table = TrialTable.from_results(results, chance_accuracy=CHANCE)
    figure = compute_figure("heatmap", table, metric="val_loss")
    measured = table.by_optimizer[0].measured(lambda trial: trial.val_loss)
    values = [record["value"] for record in figure.records if record["optimizer"] == "SA-SAM"]
    assert sorted(values) == pytest.approx(sorted(np.nanmean(measured, axis=1)))
    assert np.nanmax(measured) > GUESS  # not capped


def test_compare_sweeps_with_different_scores_is_refused(accuracies):
    sweeps = [
        SweepToCompare(score, score, {"name": score}, None, table_of(accuracies, score))
        for score in ("accuracy", "loss")
    ]
    with pytest.raises(InvalidOptionError, match="different scores") as caught:
        compare_sweeps(sweeps)
    assert caught.value.code == "different_scores"


def test_compare_sweeps_of_losses_has_headlines_of_losses(accuracies):
    table = table_of(accuracies, "loss")
    sweeps = [SweepToCompare(name, name, {"name": name}, None, table) for name in ("a", "b")]
    headline = compare_sweeps(sweeps).headlines[0]
    assert headline.accuracy is None
    assert headline.score == summarize(table).optimizers[0].best_config.ood_score
