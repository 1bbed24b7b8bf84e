from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workers.datasets import CorruptedSet, ImageSet
from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.text_dataset import TokenSet
from workers.evaluation import Evaluator
from workers.example_inputs import ImageInputs
from workers.trial_data import DeviceData, DeviceImages, Normalisation, TrialData

CPU = torch.device("cpu")
INPUTS = ImageInputs(5, 3, 4, (0.5,) * 3, (0.2,) * 3)
CELLS = [CorruptionCell(name, severity) for name in ("fog", "snow", "frost") for severity in (2, 5)]


def image_set(n, seed):
    generator = np.random.default_rng(seed)
    return ImageSet(
        generator.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8), generator.integers(0, 5, n)
    )


@pytest.fixture
def evaluator():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 5))
    normalise = Normalisation([0.4, 0.5, 0.6], [0.2, 0.3, 0.2], CPU, channels_last=True)
    return Evaluator(model, model, normalise), model


def one_by_one(model, images, labels):
    """Loss and accuracy as a slow loop over single images has them."""
    model = model.eval()
    losses, correct = [], []
    for image, label in zip(images, labels, strict=True):
        x = (image / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.3, 0.2])
        logits = model(torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None])
        losses.append(F.cross_entropy(logits, torch.tensor([label])).item())
        correct.append(float(logits.argmax().item() == label))
    return np.mean(losses), np.mean(correct)


def test_validation_agrees_with_a_loop_over_images(evaluator):
    evaluate, model = evaluator
    images = image_set(301, seed=1)
    scores = evaluate.validation(DeviceImages([images], CPU))
    loss, accuracy = one_by_one(model, images.images, images.labels)
    assert scores.loss == pytest.approx(loss, rel=1e-5)
    assert scores.accuracy == pytest.approx(accuracy)


def test_image_whose_logits_are_not_numbers_is_not_correct(evaluator):
    evaluate, model = evaluator
    images = ImageSet(image_set(40, seed=1).images, np.zeros(40, np.int64))
    with torch.no_grad():
        model[3].weight.fill_(math.nan)
    scores = evaluate.validation(DeviceImages([images], CPU))
    assert math.isnan(scores.loss)
    assert scores.accuracy == 0  # although the largest of NaN logits is the first, the label


def test_validation_leaves_mode_and_statistics_as_found(evaluator):
    evaluate, model = evaluator
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    evaluate.validation(DeviceImages([image_set(10, seed=1)], CPU))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("images_a_cell", [7, 1100])  # several cells a batch, and less than one
def test_corruptions_agree_with_each_cell_alone(evaluator, images_a_cell):
    evaluate, _ = evaluator
    labels = image_set(images_a_cell, seed=0).labels
    cells = {cell: image_set(images_a_cell, seed=k).images for k, cell in enumerate(CELLS)}
    corrupted = CorruptedSet(cells, labels, "generated", "")
    clean = image_set(2, seed=0)
    data = TrialData(clean, clean, corrupted, ImageInputs(5, 3, 8, (0.0,) * 3, (1.0,) * 3))
    metrics, matrix = evaluate.corruptions(DeviceData(data, CPU))
    losses = {}
    for cell, images in cells.items():
        scores = evaluate.validation(DeviceImages([ImageSet(images, labels)], CPU))
        losses[cell] = scores.loss
        column = (2, 5).index(cell.severity)
        assert matrix[cell.corruption][column] == pytest.approx(scores.accuracy)
    assert metrics["ood_loss"] == pytest.approx(np.mean(list(losses.values())), rel=1e-6)
    assert metrics["ood_accuracy"] == pytest.approx(np.mean(list(matrix.values())))
    assert metrics["ood_accuracy.snow"] == pytest.approx(np.mean(matrix["snow"]))
    assert "ood_accuracy.benchmark" not in metrics


def test_further_test_sets_have_scores_of_their_own(evaluator):
    evaluate, _ = evaluator
    images, further = image_set(30, seed=2), image_set(41, seed=3)
    data = TrialData(images, images, None, INPUTS, test_sets={"new-v1": further})
    found = evaluate.test_sets(DeviceData(data, CPU))
    scores = evaluate.validation(DeviceImages([further], CPU))
    assert found == {
        "test_loss.new-v1": scores.loss,
        "test_accuracy.new-v1": scores.accuracy,
        "test_brier.new-v1": scores.brier,
        "test_ece.new-v1": scores.ece,
    }


def test_each_corruption_has_all_scores(evaluator):
    evaluate, _ = evaluator
    labels = image_set(50, seed=0).labels
    cells = {cell: image_set(50, seed=k).images for k, cell in enumerate(CELLS)}
    images = image_set(10, seed=1)
    corrupted = CorruptedSet(cells, labels, "generated", "")
    data = TrialData(images, images, corrupted, INPUTS)
    metrics, _ = evaluate.corruptions(DeviceData(data, CPU))
    alone = [
        evaluate.validation(DeviceImages([ImageSet(pixels, labels)], CPU))
        for pixels in cells.values()
    ]
    for name in ("loss", "accuracy", "brier", "ece"):
        values = [getattr(scores, name) for scores in alone]
        assert metrics[f"ood_{name}"] == pytest.approx(np.mean(values), abs=1e-12)
        assert metrics[f"ood_{name}.fog"] == pytest.approx(np.mean(values[:2]), abs=1e-12)


@pytest.mark.parametrize(("context", "size"), [(32, 256), (64, 256), (128, 64), (4096, 1)])
def test_batches_of_long_sequences_are_small(context, size):
    sizes = []

    def predict(tokens):
        sizes.append(len(tokens))
        return torch.zeros(len(tokens), 3, context)

    model = nn.Identity()
    evaluate = Evaluator(model, predict, lambda tokens: tokens)
    tokens = TokenSet(np.zeros((300 if context < 4096 else 2, context + 1), np.uint8))
    scores = evaluate.validation(DeviceImages([tokens], CPU))
    assert max(sizes) == size
    assert sum(sizes) == len(tokens)
    assert scores.loss == pytest.approx(math.log(3))
