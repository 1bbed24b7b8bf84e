"""Successive halving: who is stopped, and that a restart changes nothing."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.early_stopping import AshaScheduler, SuccessiveHalving
from workers.journal import Journal
from workers.spec import AshaSpec, validate_spec

EPOCHS = 9


def halving(**changes):
    return SuccessiveHalving(AshaSpec(**{"reduction_factor": 3} | changes), EPOCHS)


def report(rungs, epoch, values, label="sam", metric="val_accuracy"):
    """Whether each of several trials, by key, goes on after an epoch."""
    return {
        key: rungs.continues(key, label, epoch, {metric: value}) for key, value in values.items()
    }


def test_halving_keeps_the_best_third_and_always_the_first():
    rungs = halving()
    values = {"a": 0.1, "b": 0.2, "c": 0.15, "d": 0.05, "e": 0.3, "f": 0.19, "g": 0.25, "h": 0.28}
    assert report(rungs, 1, values) == {
        **{"a": True, "b": True, "c": False, "d": False, "e": True},
        **{"f": False, "g": True, "h": True},  # six came as far: two of them go on
    }
    assert rungs.stopped == {"c", "d", "f"}


def test_halving_judges_at_its_rungs_alone():
    rungs = halving(grace_epochs=2)
    report(rungs, 2, {"a": 0.5})
    assert report(rungs, 1, {"b": 0.0}) == {"b": True}
    for epoch in (2, 6):
        assert report(halving(grace_epochs=2), epoch, {"a": 0.5, "b": 0.1})["b"] is False
    for epoch in (3, 4, 5, 7, 8, 9, 18):
        assert all(report(halving(grace_epochs=2), epoch, {"a": 0.5, "b": 0.1}).values())


def test_halving_leaves_the_last_epoch_to_the_trial():
    spec = AshaSpec(grace_epochs=3, reduction_factor=3)
    assert all(report(SuccessiveHalving(spec, 9), 9, {"a": 0.5, "b": 0.1}).values())
    assert not all(report(SuccessiveHalving(spec, 10), 9, {"a": 0.5, "b": 0.1}).values())


def test_halving_compares_trials_of_one_optimizer_alone():
    rungs = halving()
    assert report(rungs, 1, {"a": 0.9, "b": 0.8}, label="adam") == {"a": True, "b": False}
    assert report(rungs, 1, {"c": 0.2, "d": 0.1}, label="sa-sam") == {"c": True, "d": False}


def test_halving_lets_ties_go_on_and_counts_nothing_as_the_worst():
    rungs = halving()
    assert report(rungs, 1, {"a": 0.5, "b": 0.5, "c": None}) == {"a": True, "b": True, "c": False}
    assert rungs.continues("d", "sam", 1, {}) is False


def test_halving_of_a_loss_keeps_the_low_ones():
    rungs = halving(metric="val_loss")
    assert report(rungs, 1, {"a": 2.0, "b": 1.0, "c": 1.5}, metric="val_loss") == {
        **{"a": True, "b": True, "c": False}
    }


def test_halving_judges_a_trial_once_a_rung():
    rungs = halving()
    assert report(rungs, 1, {"a": 0.1, "b": 0.9, "c": 0.8})["a"]
    assert report(rungs, 1, {"a": 0.1}) == {"a": True}  # after a retry
    assert report(rungs, 2, {"c": 1.0}) == {"c": False}  # what is decided stays


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"), st.sampled_from([1, 3]), st.floats(0, 1), st.booleans()
        ),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)
def test_rungs_rebuilt_from_the_journal_decide_the_same(tmp_path_factory, values, cut):
    labels = {key: "sam" if key < "e" else "adam" for key in "abcdefgh"}
    events = [
        (key, epoch, {"val_accuracy": value} if has_value else {})
        for key, epoch, value, has_value in values
    ]
    whole = halving()
    expected = [whole.continues(key, labels[key], epoch, m) for key, epoch, m in events]
    journal = Journal(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    for key, epoch, metrics in events[:cut]:
        journal.append("epoch", key, epoch=epoch, metrics=metrics)
    rebuilt = halving()
    AshaScheduler(rebuilt, journal, labels)
    found = [rebuilt.continues(key, labels[key], epoch, m) for key, epoch, m in events[cut:]]
    journal.close()
    assert found == expected[cut:]
    assert rebuilt.stopped == whole.stopped


def test_scheduler_counts_a_trial_that_tune_ends_at_a_rung(tmp_path):
    """A restart finds its epoch in the journal: both must come to the same rung."""
    spec = validate_spec(
        {
            "name": "small",
            "dataset": "digits",
            "model": "cnn-tiny",
            "optimizers": ["sam"],
            "search": {"type": "random", "trials": 6},
        }
    )
    journal = Journal(tmp_path / "journal.jsonl")
    live = halving(reduction_factor=2)
    scheduler = AshaScheduler(live, journal, {})
    decisions = []
    for trial, accuracy in zip(spec.trials, [0.5, 0.1, 0.6, 0.4, 0.45, 0.55], strict=True):
        item = {"key": trial.key, "trial": trial.model_dump(mode="json")}
        ours = SimpleNamespace(trial_id=trial.key, config={"trials": [item]})
        record = {"epoch": 1, "val_accuracy": accuracy}
        if accuracy == 0.1:
            record["outcome"] = "diverged"
        result = {"reports": [{"key": trial.key, "seconds": 0.1, "record": record}]}
        if "outcome" in record:
            scheduler.on_trial_complete(None, ours, result)
        else:
            decisions.append(scheduler.on_trial_result(None, ours, result))
        journal.append("epoch", trial.key, epoch=1, metrics={"val_accuracy": accuracy})
    assert decisions == ["CONTINUE", "CONTINUE", "STOP", "STOP", "CONTINUE"]
    rebuilt = halving(reduction_factor=2)
    AshaScheduler(rebuilt, journal, {trial.key: "sam" for trial in spec.trials})
    journal.close()
    assert rebuilt._rungs == live._rungs
    assert rebuilt.stopped == live.stopped


@pytest.mark.parametrize("seed", range(5))
def test_halving_spares_the_best_and_less_than_half_at_each_rung(seed):
    order = random.Random(seed)  # noqa: S311 - no secret
    rungs, left = halving(), [f"{number:02}" for number in range(81)]
    for epoch in range(1, EPOCHS + 1):
        order.shuffle(left)
        before = len(left)
        left = [
            key for key in left if rungs.continues(key, "sam", epoch, {"val_accuracy": int(key)})
        ]
        assert "80" in left
        assert len(left) < before / 2 if epoch in (1, 3) else len(left) == before
