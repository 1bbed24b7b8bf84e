from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from workers.datasets import CorruptedSet, ImageSet
from workers.datasets.corruption_cells import CorruptionCell
from workers.example_inputs import ImageInputs
from workers.measurement import CurvatureMeasurement
from workers.models.cnn import cnn_tiny
from workers.spec import CurvatureSpec
from workers.trial_data import Normalisation, TrialData

CPU = torch.device("cpu")


def image_set(n, seed):
    images = np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    return ImageSet(images, np.arange(n) % 10)


@pytest.fixture
def data():
    cells = {
        CorruptionCell(name, s): image_set(20, seed=s).images
        for name in ("fog", "snow")
        for s in (1, 5)
    }
    corrupted = CorruptedSet(cells, image_set(20, 0).labels, "generated", "")
    return TrialData(
        image_set(2, 0), image_set(40, 1), corrupted, ImageInputs(10, 1, 8, (0.5,), (0.3,))
    )


@pytest.fixture
def normalise():
    return Normalisation([0.5], [0.3], CPU, channels_last=True)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = cnn_tiny(num_classes=10, in_channels=1, image_size=8, width=2).train()
    network(torch.randn(50, 1, 8, 8))  # running statistics that differ from the batch's
    return network


def dense_hessian(model, inputs, labels):
    """The whole Hessian of the mean cross-entropy in eval mode."""
    model = model.eval()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(vector):
        parts = torch.split(vector, [s.numel() for s in shapes.values()])
        weights = {n: part.view(shapes[n]) for n, part in zip(shapes, parts, strict=True)}
        return F.cross_entropy(functional_call(model, (weights, buffers), (inputs,)), labels)

    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    return hessian(loss, flat)


@pytest.mark.slow
def test_measure_agrees_with_the_dense_hessian(data, normalise, model):
    spec = CurvatureSpec(images=1_000, max_matvecs=500, splits=("validation",))
    found = CurvatureMeasurement(spec, data, normalise, CPU).measure(model)
    assert model.training
    inputs = normalise(torch.from_numpy(data.validation.images))
    dense = dense_hessian(model, inputs, torch.from_numpy(data.validation.labels))
    largest = torch.linalg.eigvalsh(dense)[-1].item()
    assert found["hessian_trace.validation"] == pytest.approx(dense.trace().item(), rel=1e-3)
    assert found["hessian_lambda_max.validation"] == pytest.approx(largest, rel=1e-3)


def test_measure_names_every_quantity_by_split(data, normalise, model):
    spec = CurvatureSpec(images=20, max_matvecs=10, metrics=("trace",))
    found = CurvatureMeasurement(spec, data, normalise, CPU).measure(model, suffix=".best")
    names = (
        *("hessian_trace", "hessian_trace_stderr", "hessian_matvecs"),
        "hessian_by_differences",
    )
    assert found.keys() == {f"{n}.{split}.best" for n in names for split in ("validation", "ood")}
    assert found["hessian_matvecs.validation.best"] <= 10


def test_measurements_are_equal_for_equal_weights(data, normalise, model):
    spec = CurvatureSpec(images=20, max_matvecs=10)
    first, second = (CurvatureMeasurement(spec, data, normalise, CPU) for _ in range(2))
    torch.manual_seed(1)
    expected = first.measure(model)
    torch.manual_seed(2)
    assert second.measure(model) == expected


def test_measure_weights_that_are_not_finite_gives_no_finite_value(data, normalise, model):
    with torch.no_grad():
        model[-1].weight.fill_(float("inf"))
    spec = CurvatureSpec(images=20, max_matvecs=10, splits=("ood",))
    found = CurvatureMeasurement(spec, data, normalise, CPU).measure(model)
    assert not np.isfinite(found["hessian_trace.ood"])
    assert not np.isfinite(found["hessian_lambda_max.ood"])
