"""Export of a sweep as an Optuna study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from service.client import Client, Sweep
from workers.spec import load_spec

SEARCHED = """
name: searched
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, msgd]
search:
  type: tpe
  trials: 3
  learning_rate: {low: 1.0e-4, high: 1}
  weight_decay: [0, 1.0e-4]
  objectives: [val_accuracy, hessian_trace.validation]
training: {epochs: 2, batch_size: 64, augmentation: none}
"""


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def test_export_study_has_every_value_of_the_sweep(
    run: Any, service: Any, sweep: Sweep, storage: str
) -> None:
    service.complete(sweep.sweep_id, msgd="diverged")
    answer = run("export", sweep.sweep_id, "--optuna", storage)
    assert answer.exit_code == 0, answer.output
    name = f"small-{sweep.sweep_id}"
    assert answer.stdout == f"{name}: 8 trials, 8 new\n"

    study = optuna.load_study(study_name=name, storage=storage)
    trials = {trial.key: trial for trial in sweep.trials()}
    assert study.user_attrs["sasam.sweep"] == sweep.sweep_id
    assert study.metric_names == ["val_accuracy"]
    assert len(study.trials) == len(trials)
    for stored in study.trials:
        trial = trials[stored.user_attrs["sasam.trial"]]
        assert stored.params == {
            "optimizer": trial.optimizer,
            "learning_rate": trial.learning_rate,
            "weight_decay": trial.weight_decay,
        }
        assert stored.user_attrs["outcome"] == trial.status
        assert stored.user_attrs["seed"] == trial.seed
        if trial.status == "completed":
            assert stored.state is TrialState.COMPLETE
            assert stored.value == trial.metrics["val_accuracy"]
            assert stored.user_attrs["ood_accuracy"] == trial.metrics["ood_accuracy"]
        else:
            assert stored.state is TrialState.FAIL
        assert trial.ended_at is not None
        assert stored.datetime_complete is not None
        assert stored.datetime_complete.timestamp() == trial.ended_at.timestamp()
    best = max(trial.metrics.get("val_accuracy", 0) for trial in trials.values())
    assert study.best_value == best
    assert study.best_trial.distributions["learning_rate"].choices == (0.01, 0.1)


def test_export_again_adds_only_what_has_ended_since(
    run: Any, service: Any, sweep: Sweep, storage: str, specification: str
) -> None:
    words = ("export", sweep.sweep_id, "--optuna", storage)
    assert run(*words).stdout.endswith(": 0 trials, 0 new\n")
    service.end_trials(sweep.sweep_id, load_spec(specification), msgd="failed")
    assert run(*words).stdout.endswith(": 8 trials, 8 new\n")
    assert run(*words).stdout.endswith(": 8 trials, 0 new\n")
    service.end_trials(sweep.sweep_id, load_spec(specification))  # what had failed succeeds
    assert run(*words).stdout.endswith(": 12 trials, 4 new\n")


def test_export_by_optimizer_writes_one_study_per_optimizer(
    run: Any, service: Any, sweep: Sweep, storage: str
) -> None:
    service.complete(sweep.sweep_id)
    assert run("export", "--optuna", storage, "--by-optimizer").exit_code == 0
    assert sorted(optuna.get_all_study_names(storage)) == [
        f"small-{sweep.sweep_id}-{label}" for label in ("msgd", "sa-sam")
    ]


def test_export_searched_sweep_has_its_ranges_and_objectives(
    run: Any, client: Client, storage: str
) -> None:
    sweep = client.sweeps.submit(SEARCHED)
    assert run("export", sweep.sweep_id, "--optuna", storage).exit_code == 0
    (study,) = optuna.get_all_study_summaries(storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]


AXES = """
name: axes
dataset: digits
model: cnn-tiny
optimizers:
  - {name: adam, search: {betas: [[0.9, 0.95], [0.9, 0.999]], weight_decay: [0, 1]}}
  - {name: msgd, search: {weight_decay: [0, 2], learning_rate: {low: 0.5, high: 1}}}
search:
  {type: random, trials: 5, learning_rate: [0.1, 0.2], training.batch_size: {low: 16, high: 99}}
"""


@pytest.mark.parametrize("options", [(), ("--by-optimizer",)])
def test_export_sweep_of_other_axes_has_their_values(
    run: Any, service: Any, client: Client, storage: str, options: tuple[str, ...]
) -> None:
    sweep = client.sweeps.submit(AXES)
    service.end_trials(sweep.sweep_id, load_spec(AXES))
    answer = run("export", sweep.sweep_id, "--optuna", storage, *options)
    assert answer.exit_code == 0, answer.output
    names = optuna.get_all_study_names(storage)
    assert len(names) == (2 if options else 1)
    stored = {
        trial.user_attrs["sasam.trial"]: trial
        for name in names
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    }
    assert len(stored) == 10
    for trial in sweep.trials():
        params = dict(stored[trial.key].params)
        assert params.pop("optimizer") == trial.optimizer
        assert params.pop("training.batch_size") == trial.hyperparameters["training.batch_size"]
        assert params.pop("weight_decay") == trial.weight_decay
        # The values of one are a list, those of the other a range: Optuna keeps them apart.
        assert params.pop(f"{trial.optimizer}.learning_rate") == trial.learning_rate
        betas = json.loads(params.pop("optimizer.betas", "null"))
        assert betas == trial.hyperparameters.get("optimizer.betas")
        assert not params


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "--optuna needs the URL of a storage, such as sqlite:///study.db"),
        (("--optuna", "study.db"), 2, "(got 'study.db')"),
        (("--optuna", "sqlite:////proc/nothing/x.db"), 1, "cannot be written"),
    ],
)
def test_export_impossible_storage_is_reported_in_one_line(
    run: Any, sweep: Sweep, words: tuple[str, ...], status: int, message: str
) -> None:
    answer = run("export", sweep.sweep_id, *words)
    assert (answer.exit_code, len(answer.stderr.splitlines())) == (status, 1), answer.stderr
    assert message in answer.stderr
