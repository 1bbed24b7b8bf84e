"""Queries of the pages, on each database."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from service.events import EventKind
from service.events.repository import EventRepository
from service.problems import InvalidProblem
from service.settings import Settings
from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition
from service.sweeps.selection import SweepSelection
from service.sweeps.service import SweepService
from service.trials.conditions import parse_conditions
from service.trials.repository import (
    BestConfiguration,
    BestScore,
    TrialFilter,
    TrialOrder,
    TrialRepository,
)
from workers.scores import SCORES
from workers.spec import Configuration, SweepSpec, validate_spec

ACCURACY, LOSS = SCORES["accuracy"], SCORES["loss"]


@pytest.fixture
def sweeps(database: Database, tmp_path: Path) -> SweepService:
    return SweepService(database, Settings(home=tmp_path))


def submit(sweeps: SweepService, name: str = "digits") -> str:
    plain = {
        "name": name,
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam", "msgd"],
        "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0.0, 1e-4]},
        "seeds": [0, 1],
    }
    return sweeps.submit(SweepSpec.model_validate(plain))[0].sweep_id


def configuration(learning_rate: float, weight_decay: float) -> dict[str, float]:
    return {"learning_rate": learning_rate, "weight_decay": weight_decay}


AXES = {
    "name": "axes",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": [
        {"name": "sam", "search": {"rho": ["sqrt-lr", 0.05]}},
        {"name": "adam", "search": {"betas": [[0.9, 0.95], [0, 0.999]]}},
    ],
    "search": {
        **{"learning_rate": [1], "weight_decay": None, "training.batch_size": [32, 64]},
        **{"training.gradient_clipping": [None, 1], "training.compile": [False, True]},
    },
}


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ([], 32),
        (["learning_rate=1"], 32),
        (["learning_rate=1.0", "training.batch_size=32"], 16),
        (["training.batch_size=32.0"], 16),
        (["training.batch_size=3"], 0),
        (["training.gradient_clipping=null"], 16),
        (["training.gradient_clipping=1"], 16),
        (["training.compile=true"], 16),
        (["optimizer.rho=sqrt-lr"], 8),
        (['optimizer.rho="sqrt-lr"', "training.compile=false"], 4),
        (["optimizer.rho=0.05"], 8),
        (["optimizer.betas=[0.9, 0.95]"], 8),
        (["optimizer.betas=[0,0.999]"], 8),
        (["optimizer.betas=[0.9]"], 0),
        (["optimizer.rho=[0.9]"], 0),
        (["optimizer.rho=true"], 0),
        (["training.batch_size=" + "9" * 400], 0),
        (["training.batch_size=1e999"], 0),
        (["optimizer.rho='; drop table trials"], 0),
        (["optimizer.rho=\0"], 0),
    ],
)
def test_trials_are_found_by_the_value_of_any_axis(
    sweeps: SweepService, database: Database, conditions: list[str], count: int
) -> None:
    specification = validate_spec(AXES)
    sweep, _ = sweeps.submit(specification)
    found = TrialFilter(hyperparameters=parse_conditions(conditions, specification))
    with database.snapshot() as session:
        _, total = TrialRepository(session).find(sweep.sweep_id, found, offset=0, limit=1)
        rows = TrialRepository(session).of_sweep(
            sweep.sweep_id, hyperparameters=found.hyperparameters
        )
    assert total == len(rows) == count
    for row in rows:
        assert found.hyperparameters.items() <= Configuration(row.hyperparameters).items()


def test_best_configurations_differ_in_any_axis(sweeps: SweepService, database: Database) -> None:
    sweep, _ = sweeps.submit(validate_spec(AXES | {"seeds": [0, 1]}))
    with database.transaction() as session:
        trials = TrialRepository(session)
        for row in trials.of_sweep(sweep.sweep_id):
            accuracy = 0.25 + 0.5 * (row.hyperparameters.get("optimizer.betas") == [0.9, 0.95])
            values = {"outcome": "completed", "metrics": {"val_accuracy": accuracy + row.seed / 4}}
            trials.record(sweep.sweep_id, row.key, values)
    with database.snapshot() as session:
        best = TrialRepository(session).best_configurations(sweep.sweep_id, 99, ACCURACY)
        accuracies = TrialRepository(session).best_scores([sweep.sweep_id], ACCURACY)
    assert len({Configuration(found.hyperparameters) for found in best}) == len(best) == 32
    assert {found.seeds for found in best} == {2}
    assert [found.value for found in best] == [0.875] * 8 + [0.375] * 24
    assert accuracies[sweep.sweep_id] == [
        BestScore("adam", ACCURACY, 0.875),
        BestScore("sam", ACCURACY, 0.375),
    ]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("momentum=1", "unknown axis 'momentum' (this sweep has: learning_rate, training.batch_si"),
        ("weight_decay=0", "unknown axis 'weight_decay'"),
        ("learning_rate", "at must be axis=value, such as learning_rate=0.1, not 'learning_rate'"),
    ],
)
def test_condition_on_no_axis_is_refused(condition: str, message: str) -> None:
    with pytest.raises(InvalidProblem) as refused:
        parse_conditions([condition], validate_spec(AXES))
    assert message in refused.value.detail


def test_search_finds_part_of_a_name_or_the_beginning_of_an_id(sweeps: SweepService) -> None:
    first, second, other = (submit(sweeps, name) for name in ("Grid-one", "grid_two", "else"))

    def found(text: str, **more: int) -> list[str]:
        return [
            sweep.sweep_id
            for sweep in sweeps.search(SweepSelection(text=text), **{"limit": 9} | more)[0]
        ]

    assert found("GRID") == [second, first]
    assert found("grid_") == [second]  # no wildcard
    assert found(other[:6]) == [other]
    assert found("", offset=1, limit=1) == [second]
    assert sweeps.search(SweepSelection(text="grid"), limit=1)[1] == 2


def test_search_keeps_to_states(sweeps: SweepService, database: Database) -> None:
    paused, _ = submit(sweeps), submit(sweeps)
    with database.transaction() as session:
        transition(session, paused, SweepState.QUEUED, SweepState.PAUSED)
    found, total = sweeps.search(SweepSelection(states=[SweepState.PAUSED]), limit=9)
    assert ([sweep.sweep_id for sweep in found], total) == ([paused], 1)


def test_best_is_the_mean_score_with_chance_for_diverged_trials_and_those_below_it(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = submit(sweeps)
    with database.transaction() as session:
        trials = TrialRepository(session)
        for row in trials.of_sweep(sweep_id):
            accuracy = 0.5 + (row.learning_rate == 0.1) * (0.25 + 0.125 * row.seed)
            is_best = (row.optimizer, row.weight_decay) == ("sam", 0.0)
            values = {"outcome": "completed", "metrics": {"val_accuracy": accuracy}}
            trials.record(sweep_id, row.key, values if is_best else values | {"metrics": {}})
        msgd = [row for row in trials.of_sweep(sweep_id) if row.optimizer == "msgd"]
        diverged, below = (r for r in msgd if r.hyperparameters == msgd[0].hyperparameters)
        trials.record(sweep_id, diverged.key, {"outcome": "diverged"})
        trials.record(sweep_id, below.key, {"metrics": {"val_accuracy": 0.0625}})
    with database.snapshot() as session:
        trials = TrialRepository(session)
        assert trials.best_scores([sweep_id, "none"], ACCURACY) == {
            sweep_id: [BestScore("sam", ACCURACY, 0.8125), BestScore("msgd", ACCURACY, 0.1)],
            "none": [],
        }
        assert trials.best_configurations(sweep_id, 9, ACCURACY) == [
            BestConfiguration("sam", configuration(0.1, 0.0), 0.1, 0.0, 0.8125, 2),
            BestConfiguration("sam", configuration(0.01, 0.0), 0.01, 0.0, 0.5, 2),
            BestConfiguration(
                "msgd",
                diverged.hyperparameters,
                diverged.learning_rate,
                diverged.weight_decay,
                0.1,
                2,
            ),
        ]
        assert len(trials.best_configurations(sweep_id, 1, ACCURACY)) == 1
        best, _ = trials.find(
            sweep_id,
            TrialFilter(),
            offset=0,
            limit=16,
            order=TrialOrder("metric", "val_accuracy", is_descending=True),
        )
        accuracies = [row.metrics.get("val_accuracy") for row in best]
        assert accuracies == [0.875, 0.75, 0.5, 0.5, 0.0625, *[None] * 11]
        for order, read in (
            (TrialOrder("number", "weight_decay", is_descending=True), "weight_decay"),
            (TrialOrder("text", "learning_rate"), "learning_rate"),
        ):
            listed, _ = trials.find(sweep_id, TrialFilter(), offset=0, limit=16, order=order)
            found = [row.hyperparameters[read] for row in listed]
            assert found == sorted(found, reverse=order.is_descending)
        by_seed, _ = trials.find(
            sweep_id, TrialFilter(), offset=0, limit=16, order=TrialOrder("column", "seed")
        )
        assert [row.seed for row in by_seed] == sorted(row.seed for row in by_seed)


def test_trials_are_found_by_status_and_configuration(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = submit(sweeps)
    with database.transaction() as session:
        trials = TrialRepository(session)
        first, second, *_ = trials.of_sweep(sweep_id)
        trials.record(sweep_id, first.key, {"mlflow_run_id": "run"})
        trials.record(sweep_id, second.key, {"mlflow_run_id": "other", "outcome": "failed"})

    def count(wanted: TrialFilter) -> int:
        with database.snapshot() as session:
            return TrialRepository(session).find(sweep_id, wanted, offset=0, limit=1)[1]

    assert count(TrialFilter()) == 16
    assert count(TrialFilter("running")) == 1
    assert count(TrialFilter("pending")) == 14
    assert count(TrialFilter("failed")) == 1
    assert count(TrialFilter(optimizer="sam", hyperparameters=configuration(0.1, 1e-4))) == 2
    with database.snapshot() as session:
        trials = TrialRepository(session)
        assert [row.key for row in trials.running(sweep_id)] == [first.key]
        page, _ = trials.find(sweep_id, TrialFilter(), offset=14, limit=9)
        assert [row.position for row in page] == [14, 15]


def test_newest_events_leave_out_epochs_and_other_trials(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = submit(sweeps)  # event 1
    told = [
        (EventKind.TRIAL, {"key": "a", "status": "completed"}),
        (EventKind.PROGRESS, {"epochs": {"b": 1}}),
        (EventKind.TRIAL, {"key": "b", "status": "failed"}),
        (EventKind.REASON, {"reason": "no room"}),
    ]
    with database.transaction() as session:
        EventRepository(session).append(sweep_id, *told)
    with database.snapshot() as session:
        events = EventRepository(session)

        def numbers(**asked: int | bool) -> list[int]:
            rows = events.newest(sweep_id, **{"limit": 9, "all_trials": True} | asked)  # type: ignore[arg-type]
            return [row.number for row in rows]

        assert numbers() == [5, 4, 2, 1]
        assert numbers(all_trials=False) == [5, 4, 1]
        assert numbers(before=4, limit=1) == [2]


def test_best_loss_is_the_lowest_with_that_of_a_guess_for_diverged_trials_and_those_above_it(
    sweeps: SweepService, database: Database
) -> None:
    sweep_id = submit(sweeps)
    with database.transaction() as session:
        trials = TrialRepository(session)
        for at, row in enumerate(trials.of_sweep(sweep_id)):
            metrics = {} if row.optimizer != "sam" else {"val_loss": 1.0 + at}
            trials.record(sweep_id, row.key, {"outcome": "completed", "metrics": metrics})
        msgd = [row for row in trials.of_sweep(sweep_id) if row.optimizer == "msgd"]
        for seed, outcome, metrics in (
            (0, "diverged", {}),
            (1, "completed", {"val_loss": 99.0}),
        ):
            row = next(r for r in msgd if r.seed == seed)
            trials.record(sweep_id, row.key, {"outcome": outcome, "metrics": metrics})
    with database.snapshot() as session:
        trials = TrialRepository(session)
        best, worst = trials.best_scores([sweep_id], LOSS)[sweep_id]
        found = trials.best_configurations(sweep_id, 9, LOSS)
    values = [one.value for one in found]
    assert values == sorted(values)
    assert best == BestScore("sam", LOSS, values[0])
    assert values[-1] <= math.log(10)
    assert worst == BestScore("msgd", LOSS, LOSS.guess(0.1))
