"""Which trials are left, when they may run, and that a restart continues a search."""

from __future__ import annotations

import json
import math
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.journal import Journal
from workers.metrics import Outcome
from workers.shares import Shares
from workers.spec import TrialConfig, validate_spec
from workers.trial_sources import PlannedTrials, remaining_trials
from workers.tune_searcher import SweepSearcher

CHANCE = 0.1


def spec_of(**changes):
    return validate_spec(
        {
            "name": "small",
            "dataset": "digits",
            "model": "cnn-tiny",
            "optimizers": ["sam", "adam"],
            "search": {"type": "tpe", "trials": 6},
            "seeds": [0, 1],
            **changes,
        }
    )


@pytest.fixture
def open_journal(tmp_path):
    """Open a journal of its own, or again the one of a name."""
    journals = []

    def open_it(name="journal") -> Journal:
        journals.append(Journal(tmp_path / f"{name}.jsonl"))
        return journals[-1]

    yield open_it
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(open_journal):
    return open_journal()


def finish(journal, trial, outcome=None):
    """Journal a trial whose result follows from its configuration."""
    fate = int(trial.key[:2], 16)
    if outcome is None:
        outcome = {0: Outcome.DIVERGED, 1: Outcome.PRUNED}.get(fate % 6, Outcome.COMPLETED)
    accuracy = 1 - 0.2 * abs(math.log10(trial.learning_rate) + 2) - 0.001 * trial.seed
    journal.append("trial_started", trial.key, attempt=1)
    if outcome is not Outcome.DIVERGED:
        journal.append("epoch", trial.key, epoch=1, metrics={"val_accuracy": accuracy})
    journal.append("trial_ended", trial.key, outcome=outcome, epoch=1)


def drive(spec, journal, at_once=1):
    """Run what is left of a sweep, a few trials side by side; the trials in order."""
    source = remaining_trials(spec, journal, CHANCE)
    running, run = [], []
    while source.left or running:
        if source.left and len(running) < at_once:
            running.append(source.take())
            run.append(running[-1])
        else:
            finish(journal, running.pop(0))
    return run


def suggested(journal):
    return [(s.label, s.number, s.configuration) for s in journal.suggestions]


def test_planned_trials_are_those_without_an_end_and_failed_ones(journal):
    spec = spec_of(search={"type": "random", "trials": 3})
    first, second, third, *others = spec.trials
    finish(journal, first, Outcome.COMPLETED)
    finish(journal, second, Outcome.FAILED)
    journal.append("trial_started", third.key, attempt=1)
    source = remaining_trials(spec, journal, CHANCE)
    assert source.left == spec.trial_count - 1
    assert [source.take() for _ in range(source.left)] == [second, third, *others]


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.PRUNED])
def test_planned_trials_leave_out_those_that_ended_otherwise(journal, outcome):
    spec = spec_of(search={"type": "random", "trials": 3})
    finish(journal, spec.trials[0], outcome)
    assert remaining_trials(spec, journal, CHANCE).left == spec.trial_count - 1


def test_tpe_gives_every_optimizer_its_budget_with_every_seed(journal):
    spec = spec_of()
    run = drive(spec, journal)
    assert len({trial.key for trial in run}) == len(run) == spec.trial_count == 24
    assert [(s.label, s.number) for s in journal.suggestions] == [
        (label, number) for number in range(6) for label in ("sam", "adam")
    ]
    assert [trial.seed for trial in run] == [0, 1] * 12
    assert remaining_trials(spec, journal, CHANCE).left == 0


def test_tpe_journals_a_suggestion_before_its_trials_run(journal):
    source = remaining_trials(spec_of(), journal, CHANCE)
    assert journal.suggestions == []
    trial = source.take()
    (suggestion,) = journal.suggestions
    assert suggestion.configuration == {
        "learning_rate": trial.learning_rate,
        "weight_decay": trial.weight_decay,
    }
    assert source.take().seed == 1
    assert len(journal.suggestions) == 1
    assert source.left == 22


SPEC = spec_of()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The entries of a sweep that was never interrupted."""
    journal = Journal(tmp_path_factory.mktemp("whole") / "journal.jsonl")
    drive(SPEC, journal)
    journal.close()
    return journal.path.read_text().splitlines(keepends=True)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 110))
def test_tpe_restarted_anywhere_makes_the_same_suggestions(whole, tmp_path_factory, cut):
    assert len(whole) < 110
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_text("".join(whole[:cut]))
    journal = Journal(path)
    ended = set(journal.outcomes)
    run = drive(SPEC, journal)
    assert not {trial.key for trial in run} & ended  # what has ended is not run again
    lines = [json.loads(line) for line in whole]
    assert suggested(journal) == [
        (
            e["data"]["label"],
            e["data"]["number"],
            e["data"]["configuration"],
        )
        for e in lines
        if e["kind"] == "suggestion"
    ]
    assert len(journal.outcomes) == SPEC.trial_count
    journal.close()


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 110), at_once=st.integers(2, 5))
def test_tpe_restarted_in_parallel_keeps_its_suggestions_and_its_budget(
    tmp_path_factory, cut, at_once
):
    path = tmp_path_factory.mktemp("parallel") / "journal.jsonl"
    journal = Journal(path)
    drive(SPEC, journal, at_once)
    before = suggested(journal)
    journal.close()
    lines = path.read_text().splitlines(keepends=True)[:cut]
    path.write_text("".join(lines))
    journal = Journal(path)
    kept = len(journal.suggestions)
    drive(SPEC, journal, at_once)
    assert suggested(journal)[:kept] == before[:kept]
    assert len(journal.suggestions) == 12
    assert len(journal.outcomes) == SPEC.trial_count
    journal.close()


def tried(spec, journal):
    source = remaining_trials(spec, journal, CHANCE)
    return source._tried(journal.suggestions[0])


def test_tpe_learns_the_mean_over_seeds(journal):
    spec = spec_of(seeds=[0, 1, 2])
    source = remaining_trials(spec, journal, CHANCE)
    trials = [source.take() for _ in range(3)]
    finish(journal, trials[0], Outcome.COMPLETED)
    finish(journal, trials[1], Outcome.DIVERGED)
    assert not tried(spec, journal).has_ended
    finish(journal, trials[2], Outcome.FAILED)
    found = tried(spec, journal)
    assert found.has_ended
    accuracy = journal.metrics[trials[0].key]["val_accuracy"]
    assert found.values == [pytest.approx((accuracy + CHANCE) / 2)]  # the failed one is left out


def test_tpe_has_nothing_to_learn_when_all_failed(journal):
    spec = spec_of()
    source = remaining_trials(spec, journal, CHANCE)
    for _ in range(2):
        finish(journal, source.take(), Outcome.FAILED)
    found = tried(spec, journal)
    assert found.has_ended
    assert found.values is None


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, CHANCE),
        ({"score": "loss"}, -math.log(CHANCE)),
        ({"search": {"type": "tpe", "trials": 6, "objectives": ["val_loss"]}}, -math.log(CHANCE)),
        (
            {"search": {"type": "tpe", "trials": 6, "objectives": ["hessian_trace.validation"]}},
            math.inf,
        ),
    ],
)
def test_tpe_takes_a_diverged_trial_for_a_uniform_guess(journal, settings, value):
    spec = spec_of(**settings, seeds=[0])
    finish(journal, remaining_trials(spec, journal, CHANCE).take(), Outcome.DIVERGED)
    assert tried(spec, journal).values == [value]


def test_tpe_caps_a_loss_at_that_of_a_uniform_guess(journal):
    spec = spec_of(score="loss", seeds=[0])
    trial = remaining_trials(spec, journal, CHANCE).take()
    journal.append("trial_started", trial.key, attempt=1)
    journal.append("epoch", trial.key, epoch=1, metrics={"val_loss": 1e6, "val_accuracy": 0.5})
    journal.append("trial_ended", trial.key, outcome=Outcome.COMPLETED, epoch=1)
    assert tried(spec, journal).values == [-math.log(CHANCE)]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_search(clock):
    def make(trials, limit=math.inf):
        shares = Shares(lambda: 1.0, lambda: limit, is_single=True, clock=clock)
        source = PlannedTrials(trials)
        return SweepSearcher(source, {"data_dir": "d"}, {TRIALS[1].key: 3}, shares, clock)

    return make


TRIALS = spec_of(search={"type": "random", "trials": 2}, seeds=[0]).trials


def take_all(search, ids):
    found = []
    while isinstance(answer := search.suggest(next(ids)), dict):
        found += [TrialConfig.model_validate(item["trial"]) for item in answer["trials"]]
    return found, answer


def test_search_hands_out_trials_in_order_until_none_is_left(make_search):
    search = make_search(TRIALS)
    ids = map(str, count())
    assert take_all(search, ids) == (list(TRIALS), None)  # none now: one may come back
    for number in range(4):
        search.on_trial_complete(str(number))
    assert search.suggest("x") == SweepSearcher.FINISHED


def test_search_respects_its_limit(make_search):
    search = make_search(TRIALS, limit=2)
    ids = map(str, count())
    assert take_all(search, ids) == (list(TRIALS[:2]), None)
    search.on_trial_complete("0", error=True)
    assert take_all(search, ids) == ([TRIALS[2]], None)


def test_search_gives_a_trial_back_after_its_pause_and_others_meanwhile(make_search, clock):
    search = make_search(TRIALS[:3], limit=1)
    search.suggest("a")
    search.on_trial_complete("a", error=True)
    search.retry(TRIALS[0], pause_seconds=4)
    ids = map(str, count())
    assert take_all(search, ids) == ([TRIALS[1]], None)
    search.on_trial_complete("0")
    clock.now = 4
    assert take_all(search, ids) == ([TRIALS[0]], None)  # before the third
    search.on_trial_complete("2", error=True)
    search.retry(TRIALS[0], pause_seconds=8)
    assert take_all(search, ids) == ([TRIALS[2]], None)
    search.on_trial_complete("4")
    assert take_all(search, ids) == ([], None)  # waits for its time
    clock.now = 12
    assert take_all(search, ids) == ([TRIALS[0]], None)
    search.on_trial_complete("7")
    assert search.suggest("x") == SweepSearcher.FINISHED


def test_search_gives_the_settings_with_each_trial(make_search):
    answer = make_search(TRIALS).suggest("a")
    assert answer["data_dir"] == "d"
    (item,) = answer["trials"]
    assert TrialConfig.model_validate(item["trial"]).key == item["key"] == TRIALS[0].key


def test_search_passes_a_trial_its_recorded_epochs(make_search):
    search = make_search(TRIALS[:2])
    answers = [search.suggest(name)["trials"] for name in "ab"]
    assert [item["recorded"] for (item,) in answers] == [0, 3]


def test_search_hands_out_shares_and_first_what_came_back(clock):
    shares = Shares(lambda: 1.0, lambda: math.inf, clock=clock)
    search = SweepSearcher(PlannedTrials(TRIALS), {}, {}, shares, clock)
    ids = map(str, count())
    assert take_all(search, ids) == (list(TRIALS[:2]), None)  # singles, for a slot and one more
    shares.end(0.5)
    search.put_back([TRIALS[1]])
    search.on_trial_complete("0")
    (answer,) = (search.suggest("x"),)
    assert [item["key"] for item in answer["trials"]] == [TRIALS[1].key]
    search.on_trial_complete("1")
    search.retry(TRIALS[0], pause_seconds=0)
    assert [item["key"] for item in search.suggest("y")["trials"]] == [TRIALS[0].key]


def test_tpe_of_different_spaces_tries_all_of_the_small_one(journal):
    spec = spec_of(
        optimizers=["sam", {"name": "adam", "search": {"learning_rate": 0.1}}],
        search={"type": "tpe", "trials": 6, "weight_decay": [0, 1]},
        seeds=[0],
    )
    assert remaining_trials(spec, journal, CHANCE).left == spec.trial_count == 6 + 2
    run = drive(spec, journal)
    assert [trial.optimizer.name for trial in run] == ["sam", "adam"] * 2 + ["sam"] * 4
    assert remaining_trials(spec, journal, CHANCE).left == 0
