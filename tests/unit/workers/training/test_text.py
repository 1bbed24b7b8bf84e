"""Trials on text: the same records, optimizers and checkpoints as on images."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from workers.evaluation import Evaluator
from workers.models import build_model
from workers.seeding import derive_seed
from workers.spec import SpecError, validate_spec
from workers.training import preflight, run_trial
from workers.trial_data import DeviceData, load_trial_data

SPEC = {
    "name": "text",
    "dataset": {"name": "zipf-grammar", "kwargs": {"context": 8, "train": 128, "test": 40}},
    "ood": {"severities": [1, 5], "images": 20},
    "model": {"name": "gpt", "kwargs": {"width": 16, "depth": 1, "heads": 2}},
    "optimizers": ["sa-sam", "sam", "sa-sgd", "msgd", "adam", "muon"],
    "search": {"learning_rate": [0.01], "weight_decay": [0]},
    "training": {"epochs": 2, "batch_size": 16},
    "curvature": {"images": 10, "max_matvecs": 5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def data_of(spec, folder):
    found = load_trial_data(spec.dataset, spec.ood, data_dir=folder, cache_dir=folder / "cache")
    return DeviceData(found, torch.device("cpu"))


def timeless(records):
    return [{k: v for k, v in record.items() if k != "images_per_second"} for record in records]


@pytest.mark.slow
@pytest.mark.parametrize("position", range(len(SPEC["optimizers"])))
def test_run_trial_records_what_an_image_trial_does(folder, position):
    spec = validate_spec(SPEC)
    trial = spec.trials[position]
    assert trial.training.augmentation == "none"
    first, last = run_trial(trial, data_of(spec, folder))
    assert 0 < first["val_loss"] < 2 * math.log(64)
    assert 0 <= first["val_accuracy"] <= 1
    assert last["outcome"] == "completed"
    assert list(last["ood_matrix"]) == ["zipf", "grammar"]
    assert last["ood_accuracy.zipf"] == pytest.approx(sum(last["ood_matrix"]["zipf"]) / 2)
    assert {"ood_loss", "hessian_trace.ood", "hessian_lambda_max.validation"} <= set(last)
    assert last["hessian_by_differences.validation"] == 0


@pytest.mark.slow
def test_run_trial_resumed_continues_bit_for_bit(folder, tmp_path):
    spec = validate_spec(SPEC | {"optimizers": ["sa-sam"]})
    (trial,) = spec.trials
    data = data_of(spec, folder)
    whole = timeless(run_trial(trial, data))
    saved = {"checkpoint": tmp_path / "trial.pt", "save_seconds": 0}
    records = run_trial(trial, data, **saved)
    next(records)
    records.close()
    assert timeless(run_trial(trial, data, recorded=1, **saved)) == whole


def test_validation_is_the_mean_over_all_tokens(folder):
    spec = validate_spec(SPEC | {"optimizers": ["msgd"], "ood": None, "curvature": None})
    (trial,) = spec.trials
    data = data_of(spec, folder)
    torch.manual_seed(derive_seed(trial.seed, "initialisation"))
    network = build_model(trial.model, **data.host.inputs.network_arguments)
    tokens = torch.from_numpy(data.host.validation.tokens).long()
    logits = network(tokens[:, :-1])
    places = [(i, t) for i in range(40) for t in range(8)]
    expected = [F.cross_entropy(logits[i, :, t], tokens[i, t + 1]).item() for i, t in places]
    prepare = data.host.inputs.preparation(torch.device("cpu"), channels_last=True)
    found = Evaluator(network, network, prepare).validation(data.validation)
    assert found.loss == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    probabilities = torch.stack([logits[i, :, t].softmax(0) for i, t in places])
    labels = torch.tensor([int(tokens[i, t + 1]) for i, t in places])
    truth = F.one_hot(labels, probabilities.shape[1])
    brier = (probabilities - truth).square().sum(1).mean().item()
    assert found.brier == pytest.approx(brier, rel=1e-5)
    confidences, predicted = probabilities.max(1)
    gaps = (predicted == labels).double() - confidences
    bins = (confidences * 15).ceil()
    error = sum(abs(gaps[bins == m].sum().item()) for m in range(1, 16)) / len(places)
    assert found.ece == pytest.approx(error, abs=1e-6)


@pytest.mark.slow
def test_run_trial_measures_every_curvature_and_calibration_of_texts(folder):
    metrics = [
        *("trace", "lambda_max", "critical_sharpness", "stability_ratio"),
        *("worst_case_sharpness", "average_case_sharpness", "gradient_noise_scale"),
    ]
    curvature = {"images": 32, "sharpness_images": 32, "max_matvecs": 20, "metrics": metrics}
    (trial,) = validate_spec(SPEC | {"optimizers": ["msgd"], "curvature": curvature}).trials
    last = list(run_trial(trial, data_of(validate_spec(SPEC), folder)))[-1]
    measured = {*metrics[2:], "val_brier", "val_ece", "ood_brier", "ood_ece.grammar"}
    assert {name for name in measured if math.isfinite(last.get(name, math.nan))} == measured


def test_preflight_states_facts_about_texts(folder):
    facts = preflight(validate_spec(SPEC), data_dir=folder, cache_dir=folder / "cache")
    assert (facts.train_images, facts.validation_images, facts.ood_images) == (128, 40, 80)
    assert facts.classes == 64
    assert facts.hessian_method == "exact"


def problem_of(folder, **changes):
    with pytest.raises(SpecError) as caught:
        preflight(validate_spec(SPEC | changes), data_dir=folder, cache_dir=folder / "cache")
    (problem,) = caught.value.problems
    return str(problem)


def test_preflight_context_longer_than_the_data_is_refused(folder):
    (folder / "short.txt").write_text("to be or not to be")
    dataset = {"name": "text-file", "kwargs": {"path": "short.txt", "context": 64}}
    found = problem_of(folder, dataset=dataset, ood=None, curvature=None)
    assert found.startswith("dataset.kwargs.context: 18 bytes are fewer than 2 x (context 64 + 1)")


def test_preflight_file_without_ood_sets_is_refused(folder):
    (folder / "text.txt").write_text("to be or not to be " * 100)
    dataset = {"name": "text-file", "kwargs": {"path": "text.txt", "context": 8}}
    assert "ood: text-file has no OOD sets; set ood: null" in problem_of(folder, dataset=dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "cnn-tiny"},
            "model.name: must be a model for text, as zipf-grammar is (such",
        ),
        (
            {"dataset": "digits"},
            "model.name: must be a model for images, as digits is (such",
        ),
        (
            {"training": {"augmentation": "crop"}},
            "training.augmentation: must be none: text is",
        ),
        (
            {"ood": {"corruptions": ["fog"]}},
            "ood.corruptions[0]: unknown OOD set 'fog' of zipf",
        ),
        ({"model": {"name": "gpt", "kwargs": {"patch_size": 4}}}, "unknown keyword of model gpt"),
    ],
)
def test_validate_settings_of_another_task_are_refused(changes, message):
    with pytest.raises(SpecError) as caught:
        validate_spec(SPEC | changes)
    assert message in str(caught.value)


def test_validate_text_is_ranked_by_loss_unless_told_otherwise():
    assert validate_spec(SPEC).scored_by.name == "loss"
    assert validate_spec(SPEC | {"score": "accuracy"}).scored_by.name == "accuracy"
