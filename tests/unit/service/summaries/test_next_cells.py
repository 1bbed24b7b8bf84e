from typing import Any

import pytest

from service.sensitivity import NotAvailableError, summarize
from service.storage import SweepRow, TrialRow
from service.summaries.loading import trial_table
from service.summaries.next_cells import next_cells_specification
from workers.metrics import Outcome
from workers.spec import SweepSpec, load_spec


def specify(search: dict[str, Any], optimizers: list[Any], **more: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "grid",
            "dataset": "digits",
            "model": "cnn-tiny",
            "optimizers": optimizers,
            "search": search,
            "seeds": [0, 1],
            **more,
        }
    )


def next_cells(specification: SweepSpec, **failed: float) -> SweepSpec:
    """The next cells where accuracy falls with distance from 0.01 and 1e-4."""
    sweep = SweepRow(
        sweep_id="abc", specification=specification.model_dump(mode="json"), classes=10
    )
    trials = []
    for trial in specification.trials:
        values = trial.values_of(specification.axes(trial.optimizer_label)).plain()
        worse = sum(
            float(values[name] != best) * step
            for name, best, step in (
                *(("learning_rate", 0.01, 0.1), ("weight_decay", 1e-4, 0.05)),
                *(("optimizer.momentum", 0.9, 0.05), ("model.kwargs.width", 2, 0.05)),
            )
            if name in values
        )
        is_failed = bool(failed) and failed.items() <= values.items()
        trials.append(
            TrialRow(
                key=trial.key,
                optimizer=trial.optimizer_label,
                optimizer_name=trial.optimizer.name,
                hyperparameters=values,
                seed=trial.seed,
                outcome=Outcome.FAILED if is_failed else Outcome.COMPLETED,
                metrics={} if is_failed else {"val_accuracy": 0.9 - worse},
            )
        )
    summary = summarize(trial_table(sweep, trials))
    return load_spec(next_cells_specification(specification, summary))


RATES = {"learning_rate": [1e-3, 1e-2, 1e-1], "weight_decay": [1e-5, 1e-4]}


def test_next_cells_are_a_sweep_over_the_open_neighbours() -> None:
    found = next_cells(specify(RATES, ["adam", {"name": "msgd", "label": "SGD 0.9"}]))
    assert found.labels == ("adam next weight_decay", "SGD 0.9 next weight_decay")
    assert found.seeds == (0, 1)
    assert found.early_stopping is None
    for label in found.labels:
        assert found.axes(label) == {"learning_rate": (0.01,), "weight_decay": (1e-3,)}
    assert found.trial_count == 4


def test_next_cells_repeat_a_failed_neighbour_beside_one_beyond_the_edge() -> None:
    found = next_cells(specify(RATES, ["adam"]), weight_decay=1e-5, learning_rate=0.01)
    assert found.axes("adam next weight_decay")["weight_decay"] == (1e-5, 1e-3)


def test_next_cells_name_options_of_the_optimizer() -> None:
    search = {**RATES, "weight_decay": [1e-5, 1e-4, 1e-3], "optimizer.momentum": [0.5, 0.9]}
    with pytest.raises(NotAvailableError, match="Left out msgd next momentum"):
        next_cells(specify(search, ["msgd"]))  # a momentum of 1.62 is none
    search = {**search, "optimizer.momentum": [0.9, 0.95]}
    found = next_cells(specify(search, ["msgd"]))
    (label,) = found.labels
    assert label == "msgd next momentum"
    (momentum,) = found.axes(label)["optimizer.momentum"]
    assert 0.8 < float(str(momentum)) < 0.9


def test_next_cells_where_every_neighbour_was_measured() -> None:
    search = {**RATES, "weight_decay": [1e-5, 1e-4, 1e-3]}
    with pytest.raises(NotAvailableError) as caught:
        next_cells(specify(search, ["adam"]))
    assert caught.value.code == "no_next_cells"


def test_next_cells_of_an_axis_of_the_whole_sweep_need_several_sweeps() -> None:
    search = {**RATES, "training.batch_size": [32, 64], "model.kwargs.width": [1, 2]}
    specification = specify(search, ["adam"])
    with pytest.raises(NotAvailableError) as caught:
        next_cells(specification)
    assert caught.value.code == "needs_several_sweeps"
