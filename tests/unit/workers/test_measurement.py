from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from sasam.curvature import estimate_critical_sharpness
from workers.datasets import CorruptedSet, ImageSet, stratified_subset
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


@pytest.mark.slow
def test_measure_names_every_quantity_by_split(data, normalise, model):
    spec = CurvatureSpec(images=20, max_matvecs=10, metrics=("trace",))
    found = CurvatureMeasurement(spec, data, normalise, CPU).measure(model, suffix=".best")
    names = (
        *("hessian_trace", "hessian_trace_stderr", "hessian_matvecs"),
        "hessian_by_differences",
    )
    assert found.keys() == {f"{n}.{split}.best" for n in names for split in ("validation", "ood")}
    assert found["hessian_matvecs.validation.best"] <= 10


@pytest.mark.slow
def test_measurements_are_equal_for_equal_weights(data, normalise, model):
    spec = CurvatureSpec(images=20, max_matvecs=10)
    first, second = (CurvatureMeasurement(spec, data, normalise, CPU) for _ in range(2))
    torch.manual_seed(1)
    expected = first.measure(model)
    torch.manual_seed(2)
    assert second.measure(model) == expected
    assert second.measure(model) == expected  # by the method that was chosen before


def test_measure_weights_that_are_not_finite_gives_no_finite_value(data, normalise, model):
    with torch.no_grad():
        model[-1].weight.fill_(float("inf"))
    spec = CurvatureSpec(images=20, max_matvecs=10, splits=("ood",))
    found = CurvatureMeasurement(spec, data, normalise, CPU).measure(model)
    assert not np.isfinite(found["hessian_trace.ood"])
    assert not np.isfinite(found["hessian_lambda_max.ood"])


TRAINING = ("stability_ratio", "worst_case_sharpness", "average_case_sharpness")


@pytest.mark.slow
def test_training_quantities_agree_with_the_library(data, normalise, model):
    data = replace(data, train=image_set(200, 4))
    spec = CurvatureSpec(
        metrics=(*TRAINING, "gradient_noise_scale"), images=64, sharpness_images=150
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    measurement = CurvatureMeasurement(spec, data, normalise, CPU)
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    found = measurement.measure(model, optimizer)
    assert found.keys() == {*TRAINING, "gradient_noise_scale"}
    assert found == measurement.measure(model, optimizer)
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())

    chosen = stratified_subset(data.train, 64, seed=0)
    inputs, labels = normalise(torch.from_numpy(chosen.images)), torch.from_numpy(chosen.labels)
    largest = torch.linalg.eigvalsh(dense_hessian(model, inputs, labels))[-1].item()
    assert found["stability_ratio"] == pytest.approx(0.1 * largest / 3.8, rel=2e-3)


def test_critical_sharpness_is_that_of_the_last_update(data, normalise, model):
    data = replace(data, train=image_set(64, 4))
    spec = CurvatureSpec(metrics=("critical_sharpness",), images=64)
    measurement = CurvatureMeasurement(spec, data, normalise, CPU)
    inputs = normalise(torch.from_numpy(data.train.images))
    labels = torch.from_numpy(data.train.labels)
    model.eval()
    before = [p.detach().clone() for p in model.parameters()]
    start = copy.deepcopy(model)
    gradient = torch.autograd.grad(F.cross_entropy(model(inputs), labels), [*model.parameters()])
    with torch.no_grad():
        for parameter, part in zip(model.parameters(), gradient, strict=True):
            parameter.sub_(0.01 * part)
    found = measurement.critical_sharpness(model, before, step_size=0.01)
    expected = estimate_critical_sharpness(
        start, F.cross_entropy, [(inputs, labels)], [-g for g in gradient], tolerance=1e-3
    )
    assert found["critical_sharpness"] == pytest.approx(expected.value, rel=0.15)
    assert measurement.measure(model) == {}
