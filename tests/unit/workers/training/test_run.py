from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from workers import checkpoints
from workers.corruptions import BENCHMARK_CORRUPTIONS
from workers.metrics import is_metric
from workers.numerics import MIXED_NUMERICS, describe_numerics
from workers.scores import SCORES
from workers.spec import validate_spec
from workers.spec.optimizers import VARIANTS
from workers.training import run_trial as run_trial_saving_rarely
from workers.training.__main__ import run_alone
from workers.training.trial import Trial

run_trial = partial(run_trial_saving_rarely, save_seconds=0)
"""Saves after every epoch that is due, however short."""
OPTIMIZERS = ["sa-sam", "sam", "sa-sgd", "msgd", "adam"]
FURTHER = [
    *(name for name in VARIANTS if name not in (*OPTIMIZERS, "family", "plugin")),
    {"name": "sam", "base": {"name": "adamw", "exempt_vectors": True}},
    {"name": "looksam", "base": "muon", "k": 3},
    {"name": "torch:RMSprop", "kwargs": {"momentum": 0.9}},
    "timm:lamb",
    "pytorch-optimizer:ScheduleFreeRAdam",
    "pytorch-optimizer:AdaHessian",
]


NOT_RESULTS = {"images_per_second", "numerics"}


def same(first, second):
    """Whether records are equal bit for bit; time and what is known of the process aside."""
    one, other = (
        [{key: value for key, value in record.items() if key not in NOT_RESULTS} for record in each]
        for each in (first, second)
    )
    return one == other


def test_run_trial_resumed_under_other_numerics_has_mixed_ones(
    device_data, make_trial, tmp_path, monkeypatch
):
    config = make_trial("msgd", ood=None, curvature=None)
    whole = describe_numerics(device_data.device, device_data.host.fingerprint)
    paths = tmp_path / "same", tmp_path / "other"
    for path in paths:
        begun = run_trial(config, device_data, checkpoint=path)
        next(begun)
        begun.close()

    def end(**options):
        return list(run_trial(config, device_data, **options))[-1]["numerics"]

    assert end(checkpoint=paths[0], recorded=1) == whole
    # Another process has recorded the first epoch; its numerics are unknown.
    assert end(recorded=1) == MIXED_NUMERICS
    monkeypatch.setattr(
        "workers.training.run.describe_numerics", lambda device, data: "another machine"
    )
    assert end(checkpoint=paths[0]) == whole  # it had ended
    assert end(checkpoint=paths[1]) == MIXED_NUMERICS
    assert end() == "another machine"


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_trial_records_every_epoch_and_the_end(device_data, make_trial, optimizer):
    records = list(run_trial(make_trial(optimizer), device_data))
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for record in records:
        for key, value in record.items():
            assert is_metric(key) or key in {"outcome", "ood_matrix", "numerics"}
            assert not isinstance(value, float) or math.isfinite(value)
        assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= record.keys()
        assert record["images_per_second"] > 0
    assert records[-1]["train_loss"] < records[0]["train_loss"]
    evaluations = {"sa-sam": 3, "sam": 2, "sa-sgd": 2}.get(optimizer, 1)
    steps = 3 * (256 // 64)
    first_step_has_no_former_point = optimizer.startswith("sa-")
    expected = evaluations * steps - first_step_has_no_former_point
    assert records[-1]["gradient_evaluations"] == expected
    assert all("outcome" not in record for record in records[:-1])


@pytest.mark.slow
def test_run_trial_end_has_matrix_means_and_curvature(device_data, make_trial):
    last = list(run_trial(make_trial(), device_data))[-1]
    assert last["outcome"] == "completed"
    matrix = last["ood_matrix"]
    assert list(matrix) == list(BENCHMARK_CORRUPTIONS)
    means = {name: sum(row) / 2 for name, row in matrix.items()}
    assert all(last[f"ood_accuracy.{name}"] == mean for name, mean in means.items())
    assert last["ood_accuracy"] == pytest.approx(sum(means.values()) / 15)
    assert last["ood_accuracy.benchmark"] == pytest.approx(last["ood_accuracy"])
    for split in ("validation", "ood"):
        assert last[f"hessian_lambda_max.{split}"] > 0
        assert last[f"hessian_trace_stderr.{split}"] >= 0
        assert last[f"hessian_matvecs.{split}"] > 0
        assert f"hessian_trace.{split}" in last
        assert last[f"hessian_lambda_max_residual.{split}"] >= 0


def test_run_trial_without_ood_and_curvature_ends_plainly(device_data, make_trial):
    last = list(run_trial(make_trial(ood=None, curvature=None), device_data))[-1]
    assert last["outcome"] == "completed"
    assert not [key for key in last if key.startswith(("ood", "hessian"))]


@pytest.mark.slow
def test_run_trial_curvature_every_second_epoch_and_at_best(device_data, make_trial):
    config = make_trial(
        training={"epochs": 4},
        curvature={"every": 2, "splits": ["validation"], "at_best": True, "metrics": ["trace"]},
    )
    records = list(run_trial(config, device_data))
    measured = ["hessian_trace.validation" in record for record in records]
    assert measured == [False, True, False, True]
    best = max(range(4), key=lambda k: (records[k]["val_accuracy"], -k))
    if measured[best]:
        assert records[-1]["hessian_trace.validation.best"] == pytest.approx(
            records[best]["hessian_trace.validation"], rel=1e-5
        )
    assert "hessian_trace.validation.best" in records[-1]


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_trial_keeps_the_weights_with_the_best_score(device_data, make_trial, score):
    """A learning rate so large that the loss rises, while the accuracy still varies."""
    curvature = {"at_best": True, "splits": ["validation"], "metrics": ["trace"]}
    config = make_trial("msgd", learning_rate=1.0, curvature=curvature)
    config = config.model_copy(update={"score": score})
    trial = Trial(config, device_data)
    values = []
    for _ in range(3):
        record = trial.train_epoch()
        values.append(record[f"val_{score}"])
    best = max(values) if score == "accuracy" else min(values)
    state = trial.state_dict()
    assert state["best_score"] == SCORES[score].oriented(best)
    again = Trial(config, device_data)
    again.load_state_dict(state)
    assert again.state_dict()["best_score"] == state["best_score"]


def test_trial_continues_from_a_checkpoint_of_an_earlier_release(device_data, make_trial):
    trial = Trial(make_trial("msgd"), device_data)
    trial.train_epoch()
    state = trial.state_dict()
    state["best_accuracy"] = state.pop("best_score")
    again = Trial(make_trial("msgd"), device_data)
    again.load_state_dict(state)
    assert again.state_dict()["best_score"] == state["best_accuracy"]


def test_run_trial_that_diverges_ends_there_as_a_result(device_data, make_trial, tmp_path):
    config = make_trial("msgd", learning_rate=1e20, training={"epochs": 50})
    path = tmp_path / "checkpoint.pt"
    records = list(run_trial(config, device_data, checkpoint=path))
    last = records[-1]
    assert last["outcome"] == "diverged"
    assert last["diverged_epoch"] == last["epoch"] == len(records) < 50
    assert not [key for key in last if key.startswith(("ood", "hessian"))]
    assert all(not isinstance(v, float) or math.isfinite(v) for v in last.values())
    for part in ("train", "val"):  # an accuracy without a loss is that of logits without a value
        assert (f"{part}_accuracy" in last) == (f"{part}_loss" in last)
    assert not {"val_loss", "val_accuracy"} & last.keys()
    assert list(run_trial(config, device_data, checkpoint=path)) == records


@pytest.mark.slow
def test_run_trial_same_configuration_is_bit_identical(device_data, make_trial):
    config = make_trial("sa-sam", training={"augmentation": "randaugment"})
    first = list(run_trial(config, device_data))
    list(run_trial(make_trial("sam", seed=1), device_data))  # another one in between
    torch.manual_seed(12345)
    assert same(first, list(run_trial(config, device_data)))


def test_run_trial_other_seed_differs(device_data, make_trial):
    first, second = (next(run_trial(make_trial(seed=s), device_data)) for s in (0, 1))
    assert first["train_loss"] != second["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_run_trial_resumed_after_every_epoch_is_bit_identical(
    device_data, make_trial, tmp_path, optimizer
):
    config = make_trial(optimizer)
    whole = list(run_trial(config, device_data))
    pieces = []
    path = tmp_path / "checkpoint.pt"
    for position in range(len(whole)):
        trial = run_trial(config, device_data, checkpoint=path, recorded=max(0, position - 1))
        if position:
            assert same([next(trial)], pieces[-1:])  # what nobody has recorded, once more
        pieces.append(next(trial))
        trial.close()
    assert same(pieces, whole)
    assert list(run_trial(config, device_data, checkpoint=path)) == pieces
    ended = run_trial(config, device_data, checkpoint=path, recorded=len(whole))
    assert list(ended) == pieces[-1:]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", FURTHER, ids=str)
def test_run_trial_of_every_other_optimizer_learns_and_resumes_bit_for_bit(
    device_data, make_trial, tmp_path, optimizer
):
    config = make_trial(
        optimizer, learning_rate=1.0 if optimizer == "prodigy" else 0.01, ood=None, curvature=None
    )
    whole = list(run_trial(config, device_data))
    assert whole[-1]["outcome"] == "completed"
    assert whole[-1]["train_loss"] < whole[0]["train_loss"]
    path = tmp_path / "checkpoint.pt"
    for position in range(2):  # the process ends after each of the first epochs
        trial = run_trial(config, device_data, checkpoint=path, recorded=position)
        next(trial)
        if position:
            next(trial)
        trial.close()
    assert same(list(run_trial(config, device_data, checkpoint=path, recorded=1)), whole[1:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["schedule-free-adamw", "schedule-free-sgd"])
def test_run_trial_records_and_keeps_the_averaged_weights(device_data, make_trial, tmp_path, name):
    config = make_trial(
        name,
        learning_rate=0.5 if name.endswith("sgd") else 0.01,
        training={"epochs": 20},
        ood=None,
        curvature={"at_best": True, "splits": ["validation"], "metrics": ["trace"]},
    )
    path = tmp_path / "checkpoint.pt"
    records = list(run_trial(config, device_data, checkpoint=path))
    assert max(record["val_accuracy"] for record in records) > 0.8
    assert "hessian_trace.validation.best" in records[-1]
    saved = checkpoints.load_checkpoint(path)["trial"]["model"]
    trial = Trial(config, device_data)
    trial.model.load_state_dict(saved)
    scores = trial._evaluator.validation(device_data.validation)
    assert scores.accuracy == records[-1]["val_accuracy"]  # the weights kept are those evaluated
    assert scores.loss == records[-1]["val_loss"]


@pytest.mark.slow
def test_run_trial_killed_in_the_final_evaluation_repeats_only_that(
    device_data, make_trial, tmp_path, monkeypatch
):
    config = make_trial("sa-sam", curvature={"at_best": True})
    whole = list(run_trial(config, device_data))
    path = tmp_path / "checkpoint.pt"
    trial = run_trial(config, device_data, checkpoint=path)
    with monkeypatch.context() as patch:
        patch.setattr("workers.training.trial.Trial.measure_end", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(trial)
        patch.undo()
        patch.setattr("workers.training.trial.Trial.train_epoch", lambda self: 1 / 0)
        resumed = run_trial(config, device_data, checkpoint=path, recorded=len(whole) - 1)
        assert same(list(resumed), whole[-1:])


@pytest.mark.slow
def test_run_trial_rare_checkpoints_resume_from_the_last_one(device_data, make_trial, tmp_path):
    config = make_trial(training={"epochs": 5, "checkpoint_every": 2})
    whole = list(run_trial(config, device_data))
    path = tmp_path / "checkpoint.pt"
    trial = run_trial(config, device_data, checkpoint=path)
    for _ in range(3):
        next(trial)
    trial.close()
    assert same(list(run_trial(config, device_data, checkpoint=path, recorded=3)), whole[1:])
    assert same(list(run_trial(config, device_data, checkpoint=path)), whole)


def test_run_trial_checkpoint_of_another_trial_is_refused(device_data, make_trial, tmp_path):
    path = tmp_path / "checkpoint.pt"
    next(run_trial(make_trial(seed=0), device_data, checkpoint=path))
    with pytest.raises(ValueError, match="checkpoint is of trial"):
        next(run_trial(make_trial(seed=1), device_data, checkpoint=path))


def test_run_trial_ended_leaves_its_weights(device_data, make_trial, tmp_path):
    path = tmp_path / "checkpoint.pt"
    list(run_trial(make_trial(ood=None, curvature=None), device_data, checkpoint=path))
    saved = checkpoints.load_checkpoint(path)
    assert saved["trial"].keys() == {"trial", "epoch", "model"}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sa-sam", "sam", "adam"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_run_trial_half_precision_learns(device_data, make_trial, optimizer, precision):
    config = make_trial(optimizer, training={"precision": precision}, ood=None, curvature=None)
    records = list(run_trial(config, device_data))
    full = list(run_trial(make_trial(optimizer, ood=None, curvature=None), device_data))
    assert records[-1]["train_loss"] == pytest.approx(full[-1]["train_loss"], rel=0.1)


@pytest.mark.slow
def test_run_trial_schedule_moves_the_step_size(device_data, make_trial):
    config = make_trial("msgd", training={"epochs": 4, "schedule": "cosine", "warmup_epochs": 1})
    sizes = [record["step_size"] for record in run_trial(config, device_data)]
    assert sizes[0] < 0.01
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert 0 < sizes[-1] < 0.001


def test_run_trial_clipping_bounds_the_step(device_data, make_trial):
    options = {"ood": None, "curvature": None}
    sections = {"epochs": 1, "gradient_clipping": 1e-6}
    clipped = next(run_trial(make_trial("msgd", training=sections, **options), device_data))
    assert clipped["val_accuracy"] < 0.3
    assert (
        next(run_trial(make_trial("msgd", **options), device_data))["val_loss"]
        < (clipped["val_loss"])
    )


def test_run_alone_of_a_tpe_search_says_that_its_trials_are_found_later(spec_dict, data_dir):
    spec = validate_spec(spec_dict | {"search": {"type": "tpe", "trials": 3}})
    with pytest.raises(IndexError, match="the trials of a tpe search are not known before it runs"):
        next(run_alone(spec, 0, data_dir=data_dir))


QUANTITIES = (
    *("critical_sharpness", "stability_ratio", "worst_case_sharpness", "average_case_sharpness"),
    "gradient_noise_scale",
)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sa-sam", "msgd", "adam"])
def test_run_trial_is_the_same_with_and_without_curvature_along_training(
    optimizer, device_data, make_trial, tmp_path
):
    results = []
    for name, curvature in (
        ("without", {"metrics": ["trace"], "splits": ["validation"]}),
        ("with", {"metrics": ["trace", *QUANTITIES], "splits": ["validation"], "every": 1}),
    ):
        path = tmp_path / f"{name}.pt"
        config = make_trial(optimizer, curvature={**curvature, "images": 64})
        records = list(run_trial(config, device_data, checkpoint=path))
        results.append((records, checkpoints.load_checkpoint(path)["trial"]["model"]))
    (plain, weights), (measured, same_weights) = results
    assert all(torch.equal(value, same_weights[key]) for key, value in weights.items())
    for one, other in zip(plain, measured, strict=True):
        assert same([one], [{key: value for key, value in other.items() if key in one}])
        assert other.keys() >= set(QUANTITIES) - {"critical_sharpness", "gradient_noise_scale"}
        assert other["stability_ratio"] > 0
        assert other["worst_case_sharpness"] >= 0
    assert all(record["critical_sharpness"] > 0 for record in measured)


def test_run_trial_without_a_known_stability_limit_says_why(device_data, make_trial, caplog):
    config = make_trial(
        "torch:RMSprop", curvature={"metrics": ["stability_ratio"]}, training={"epochs": 1}
    )
    last = list(run_trial(config, device_data))[-1]
    assert last["outcome"] == "completed"
    assert "stability_ratio" not in last
    assert "no stability ratio: the stability limit of RMSprop is unknown" in caplog.text


@pytest.mark.slow
def test_run_trial_with_curvature_along_training_resumes_bit_for_bit(
    device_data, make_trial, tmp_path
):
    config = make_trial(curvature={"metrics": ["critical_sharpness"], "images": 32})
    whole = list(run_trial(config, device_data))
    path = tmp_path / "checkpoint.pt"
    partly = run_trial(config, device_data, checkpoint=path)
    next(partly)
    partly.close()
    assert same(list(run_trial(config, device_data, checkpoint=path, recorded=1))[-2:], whole[-2:])


def test_run_trial_saves_no_checkpoint_of_seconds_but_the_last(
    device_data, make_trial, tmp_path, monkeypatch
):
    """What a crash costs is trained again, to the same bits."""
    saved = []
    save = checkpoints.save_checkpoint
    monkeypatch.setattr(
        "workers.training.run.save_checkpoint", lambda *args: (saved.append(1), save(*args))
    )
    config, path = make_trial(ood=None, curvature=None), tmp_path / "checkpoint.pt"
    killed = run_trial_saving_rarely(config, device_data, checkpoint=path)
    first = [next(killed), next(killed)]
    killed.close()
    assert not saved
    again = list(run_trial_saving_rarely(config, device_data, checkpoint=path, recorded=2))
    assert same(again[:2], first)
    assert len(again) == 3
    assert len(saved) == 1
