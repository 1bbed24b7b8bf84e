from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from workers.calibration import mean_scores, score_examples

# Calibration errors (L1, 15 bins) of torchmetrics 1.9.0, which computes them in float32.
TORCHMETRICS = {
    (1000, 10, 0): 0.5573042631149292,
    (57, 3, 1): 0.47427672147750854,
    (300, 257, 2): 0.37257781624794006,
}


def example(n, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (n,), generator=generator)


def one_by_one(logits, labels):
    """Loss, accuracy, Brier score and calibration error by the definitions, example by example."""
    losses, correct, briers = [], [], []
    bins = [[] for _ in range(15)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = math.fsum(math.exp(value) for value in row)
        p = [math.exp(value) / total for value in row]
        losses.append(-math.log(p[label]))
        briers.append(math.fsum((value - (k == label)) ** 2 for k, value in enumerate(p)))
        is_correct = float(p.index(max(p)) == label)
        correct.append(is_correct)
        for m, members in enumerate(bins):
            if m / 15 < max(p) <= (m + 1) / 15:
                members.append((is_correct, max(p)))
    error = sum(
        len(members) / len(losses) * abs(np.mean(members, axis=0) @ [1, -1])
        for members in bins
        if members
    )
    return np.mean(losses), np.mean(correct), np.mean(briers), error


@pytest.mark.parametrize("of", TORCHMETRICS)
def test_scores_agree_with_the_definitions(of):
    logits, labels = example(*of)
    (found,) = mean_scores(score_examples(logits, labels)[:, None])
    assert found == pytest.approx(one_by_one(logits, labels), abs=1e-12)
    assert found.ece == pytest.approx(TORCHMETRICS[of], abs=1e-6)


def test_several_sets_are_each_scored_alone():
    logits, labels = example(90, 4, 3)
    together = mean_scores(score_examples(logits, labels).view(4, 3, 30))
    for number, found in enumerate(together):
        part = slice(30 * number, 30 * (number + 1))
        assert found == pytest.approx(one_by_one(logits[part], labels[part]), abs=1e-12)


def test_confidence_on_a_limit_belongs_to_the_bin_below():
    # Three classes with the confidence 1/3 = 5/15 exactly: one right of three is calibrated.
    logits, labels = torch.zeros(3, 3, dtype=torch.float64), torch.tensor([0, 1, 2])
    (found,) = mean_scores(score_examples(logits, labels)[:, None])
    assert found.ece == pytest.approx(0, abs=1e-15)
    assert found.brier == pytest.approx(2 / 3)


def test_certain_and_wrong_has_the_worst_scores():
    logits = torch.tensor([[1e4, 0.0]])
    (found,) = mean_scores(score_examples(logits, torch.tensor([1]))[:, None])
    assert found == pytest.approx((1e4, 0, 2, 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_wrong_and_have_no_probabilities(bad):
    logits, labels = example(20, 3, 4)
    logits[7, labels[7]] = bad
    (found,) = mean_scores(score_examples(logits, labels)[:, None])
    correct = (logits.argmax(1) == labels).double()
    correct[7] = 0
    assert not math.isfinite(found.loss)
    assert found.accuracy == pytest.approx(float(correct.mean()))
    assert math.isnan(found.brier)
    assert math.isnan(found.ece)


def test_values_of_float32_logits_are_averaged_in_float64():
    logits, labels = example(5000, 10, 5)
    (found,) = mean_scores(score_examples(logits.float(), labels)[:, None])
    assert found == pytest.approx(one_by_one(logits.float().double(), labels), abs=1e-9)
