"""The Trainable in this process, and under Tune with actors that are reused and killed."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from pathlib import Path

import pytest
import ray
import torch
from ray import tune

from workers.datasets import DamagedDataError
from workers.logs import read_trial_log
from workers.spec import TrialConfig, validate_spec
from workers.trainable import SweepTrial

SPEC = {
    "name": "digits",
    "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
    "ood": {"corruptions": ["fog", "contrast"], "severities": [3], "images": 20},
    "model": {"name": "cnn-tiny", "kwargs": {"width": 4}},
    "optimizers": ["sa-sam", "adam"],
    "search": {"learning_rate": [0.01], "weight_decay": [0.0, 1e-4]},
    "training": {"epochs": 4, "batch_size": 64, "augmentation": "none"},
    "curvature": {"images": 40, "max_matvecs": 10},
}
TRIALS = validate_spec(SPEC).trials


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def configuration(folder, tmp_path):
    def build(*trials: TrialConfig, checkpoint_dir: str = "checkpoints"):
        return {
            "trials": [{"key": t.key, "trial": t.model_dump(mode="json")} for t in trials],
            "data_dir": str(folder),
            "cache_dir": str(folder / "cache"),
            "checkpoint_dir": str(tmp_path / checkpoint_dir),
            "log_dir": str(tmp_path / checkpoint_dir),
        }

    return build


@pytest.fixture
def trainable(configuration, request):
    made = []

    def make(*trials, **options):
        made.append(SweepTrial(configuration(*trials, **options)))
        return made[-1]

    state = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield make
    for one in made:
        one.stop()
    gc.unfreeze()
    torch.use_deterministic_algorithms(state[0])
    torch.set_num_threads(state[1])


def to_the_end(trainable):
    """All records, without what Tune adds and what is a matter of time."""
    records = []
    while not records or not records[-1]["done"]:
        result = trainable.train()
        (report,) = result["reports"]
        done, result = result["done"], report["record"]
        own = ("_loss", "_accuracy", "step_size", "gradient_evaluations")
        keys = [k for k in result if k.endswith(own) or k.startswith(("hessian", "ood"))]
        records.append({k: result[k] for k in (*keys, "epoch")} | {"done": done})
    return records


def test_step_yields_a_record_an_epoch_and_ends(trainable):
    records = to_the_end(trainable(TRIALS[0]))
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["done"] for record in records] == [False, False, False, True]
    assert records[-1]["ood_matrix"].keys() == {"fog", "contrast"}


def test_trial_logs_its_epochs_beside_its_checkpoint(trainable, tmp_path):
    to_the_end(trainable(TRIALS[0], checkpoint_dir="logged"))
    lines = read_trial_log(tmp_path / "logged" / TRIALS[0].key).splitlines()
    assert sum("epoch" in line and "val_accuracy" in line for line in lines) == 4


def test_process_runs_a_share_of_trials_and_ends_with_the_last(trainable):
    one = trainable(*TRIALS, checkpoint_dir="share")
    one._process._report_seconds = 3600.0
    result = one.train()
    reports = result["reports"]
    assert result["done"]
    assert [report["key"] for report in reports] == [t.key for t in TRIALS for _ in range(4)]
    ends = [report["record"] for report in reports if "outcome" in report["record"]]
    assert len(ends) == len(TRIALS)
    alone = to_the_end(trainable(TRIALS[2], checkpoint_dir="alone"))[-1]
    assert {key: ends[2][key] for key in alone if key != "done"} | {"done": True} == alone


def test_error_is_raised_after_what_came_before_it_is_reported(trainable):
    data = TRIALS[1].model_dump(mode="json")
    data["model"] = {"name": "timm:resnet18", "kwargs": {"depht": 1}}
    one = trainable(TRIALS[0], TrialConfig.model_validate(data), checkpoint_dir="broken")
    one._process._report_seconds = 3600.0
    result = one.train()
    assert [report["key"] for report in result["reports"]] == [TRIALS[0].key] * 4
    assert not result["done"]
    with pytest.raises(ValueError, match="depht"):
        one.train()


def test_reused_process_repeats_a_trial_bit_for_bit(trainable, configuration):
    first = to_the_end(trainable(TRIALS[0], checkpoint_dir="first"))
    reused = trainable(TRIALS[1], checkpoint_dir="second")
    reused.train()
    images = reused._process._data
    assert reused.reset(configuration(TRIALS[2], checkpoint_dir="second"))
    to_the_end(reused)
    assert reused.reset(configuration(TRIALS[0], checkpoint_dir="second"))
    assert reused._process._data is images  # loaded once
    assert to_the_end(reused) == first


AXES = validate_spec(
    SPEC
    | {
        "optimizers": ["msgd"],
        "search": {
            **{"learning_rate": [0.01], "weight_decay": [0.0]},
            "training.batch_size": [64, 32],
            "dataset.train_size": [256, 128],
            "model.kwargs.width": [4, 6],
        },
        "training": {"epochs": 2, "augmentation": "none"},
    }
).trials


def test_reused_process_runs_trials_of_other_batches_networks_and_data(trainable, configuration):
    """One after the other they end as alone; only images that differ are loaded again."""
    chosen = [AXES[0], AXES[7], AXES[2], AXES[5], AXES[0]]
    reused = trainable(chosen[0], checkpoint_dir="reused0")
    validation = reused._process._data.validation
    for at, trial in enumerate(chosen):
        if at:
            assert reused.reset(configuration(trial, checkpoint_dir=f"reused{at}"))
        assert len(reused._process._data.train) == trial.dataset.train_size
        found = to_the_end(reused)
        steps = trial.dataset.train_size // trial.training.batch_size
        assert found[-1]["gradient_evaluations"] == 2 * steps
        alone = trainable(trial, checkpoint_dir=f"alone{at}")
        assert to_the_end(alone) == found
        assert reused._process._data.host.fingerprint == alone._process._data.host.fingerprint
    assert reused._process._data.validation is validation


def test_reset_frees_the_network_of_the_trial_before(trainable, configuration):
    reused = trainable(TRIALS[0])
    reused.train()
    networks = [weakref.ref(o) for o in gc.get_objects() if type(o) is torch.nn.BatchNorm2d]
    assert networks
    reused.reset(configuration(TRIALS[1]))
    assert not [ref for ref in networks if ref() is not None]


def test_step_that_raises_is_left_to_tune(trainable, configuration):
    broken = validate_spec(SPEC | {"training": {"epochs": 4, "batch_size": 64}}).trials[0]
    one = trainable(
        broken.model_copy(
            update={
                "model": broken.model.model_copy(
                    update={"name": "timm:resnet18", "kwargs": {"depht": 1}}
                )
            }
        )
    )
    with pytest.raises(ValueError, match="depht"):
        one.train()


class KilledOnce(SweepTrial):
    """Kills its own process in the second epoch of the first trial, once."""

    def step(self):
        result = super().step()
        (report,) = result["reports"]
        mark = Path(self.config["checkpoint_dir"], report["key"], "killed")
        is_first = report["key"] == TRIALS[0].key
        if is_first and report["record"]["epoch"] == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    patch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    patch.undo()


@pytest.mark.filterwarnings("ignore")  # of Tune's own
def test_tune_finishes_all_trials_though_an_actor_is_killed(cluster, configuration, tmp_path):
    space = configuration(TRIALS[0]) | {
        "trials": tune.grid_search([configuration(trial)["trials"] for trial in TRIALS])
    }
    results = tune.Tuner(
        tune.with_resources(KilledOnce, {"CPU": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "tune"),
            failure_config=tune.FailureConfig(max_failures=2),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    assert not results.errors
    found = {}
    for result in results:
        (report,) = result.metrics["reports"]
        found[report["key"]] = report["record"] | {"done": result.metrics["done"]}
    assert found.keys() == {trial.key for trial in TRIALS}
    assert all(metrics["outcome"] == "completed" for metrics in found.values())
    assert (tmp_path / "checkpoints" / TRIALS[0].key / "killed").exists()
    assert not [*(tmp_path / "tune").rglob("*.pt")]
    for trial in TRIALS[:2]:  # bit for bit what this process gets, whatever happened to the actors
        alone = SweepTrial(configuration(trial, checkpoint_dir="alone"))
        expected = to_the_end(alone)[-1]
        alone.stop()
        assert {key: found[trial.key][key] for key in expected} == expected


def test_trial_on_other_data_than_its_sweep_began_with_is_refused(trainable, configuration):
    """Files can change while a sweep runs, and nodes can hold different ones."""
    one = trainable(TRIALS[0])
    seen = one._process._data.host.fingerprint
    assert one.reset(configuration(TRIALS[0], checkpoint_dir="again") | {"data_fingerprint": seen})
    with pytest.raises(DamagedDataError, match=r"differ from those at the start of the sweep"):
        one.reset(configuration(TRIALS[0], checkpoint_dir="other") | {"data_fingerprint": "b" * 64})
