from typing import Any

import pytest

from service.sensitivity import History, render_table, summarize
from service.storage import SweepRow
from service.storage import TrialRow as StoredTrial
from service.summaries.loading import trial_table
from workers.metrics import Outcome
from workers.spec import SweepSpec


@pytest.fixture
def stored() -> Any:
    def make(optimizers: list[Any]) -> tuple[SweepRow, list[StoredTrial]]:
        specification = SweepSpec.model_validate(
            {
                "name": "titles",
                "dataset": "cifar10",
                "model": "vgg19",
                "optimizers": optimizers,
                "search": {"learning_rate": [0.01, 0.1], "weight_decay": [0]},
            }
        )
        sweep = SweepRow(
            sweep_id="abc", specification=specification.model_dump(mode="json"), classes=10
        )
        trials = [
            StoredTrial(
                key=trial.key,
                optimizer=trial.optimizer_label,
                optimizer_name=trial.optimizer.name,
                hyperparameters=trial.values_of(specification.axes(trial.optimizer_label)).plain(),
                seed=trial.seed,
                outcome=Outcome.COMPLETED,
                metrics={"val_accuracy": 0.9, "ood_accuracy": 0.7},
            )
            for trial in specification.trials
        ]
        return sweep, trials

    return make


def test_trial_table_calls_optimizers_by_label_or_title(stored: Any) -> None:
    optimizers = ["sa-sam", {"name": "sam", "rho": 0.1, "label": "SAM 0.1"}, "adam"]
    table = trial_table(*stored(optimizers))
    assert table.workload == "VGG-19 on CIFAR-10"
    assert table.optimizers == ("sa-sam", "SAM 0.1", "adam")
    summary = summarize(table)
    assert [found.title for found in summary.optimizers] == ["SA-SAM", "SAM 0.1", "Adam"]
    assert [row[0] for row in render_table(summary).rows] == ["SA-SAM", "SAM 0.1", "Adam"]
    assert summary.optimizer("sa-sam").sentence.startswith("SA-SAM: ")


def test_trial_table_titles_that_would_be_the_same_are_labels(stored: Any) -> None:
    table = trial_table(*stored(["sam", {"name": "sam", "rho": 0.1, "label": "SAM"}]))
    assert [trials.title for trials in table.by_optimizer] == ["sam", "SAM"]


def test_with_curves_touches_only_the_trials_named(stored: Any) -> None:
    table = trial_table(*stored(["sam"]))
    first, second = (row.key for row in table.results())
    history = History([1], [10.0], [0.5], [1.0])
    found = table.with_curves({first: history}, {second: {"fog": {1: 0.4}}})
    rows = {row.key: row for row in found.results()}
    assert rows[first].history is history
    assert rows[first].ood_by_severity == {}
    assert rows[second].history is None
    assert rows[second].ood_by_severity == {"fog": {1: 0.4}}
    assert all(row.history is None for row in table.results())
