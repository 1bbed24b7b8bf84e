"""What the journal and the searcher get from the results and failures of a share."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from workers.failures import Retries
from workers.journal import Journal
from workers.shares import Shares
from workers.spec import validate_spec
from workers.trial_sources import PlannedTrials
from workers.tune_callback import JournalCallback
from workers.tune_searcher import SweepSearcher

TRIALS = validate_spec(
    {
        "name": "small",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam"],
        "search": {"learning_rate": [0.1, 0.2, 0.3, 0.4], "weight_decay": [0]},
    }
).trials
KEYS = [trial.key for trial in TRIALS]
RAISED = 'Failure # 1\nTraceback\n  File "a.py", line 1, in step\nValueError: bad\n'
DIED = "Failure # 1\nThe actor died unexpectedly before finishing this task.\n"


class World:
    """A callback with a real journal and searcher, and a share of all trials at Tune."""

    def __init__(self, folder):
        self.journal = Journal(folder / "journal.jsonl")
        shares = Shares(lambda: 1.0, lambda: math.inf)
        self.searcher = SweepSearcher(PlannedTrials([]), {}, {}, shares, lambda: 0.0)
        self.callback = JournalCallback(self.journal, 1, self.searcher, shares, Retries(2))
        items = [{"key": t.key, "trial": t.model_dump(mode="json")} for t in TRIALS]
        self.trial = SimpleNamespace(config={"trials": items}, error_file=None)
        self.folder = folder
        self.callback.on_trial_start(0, [], self.trial)

    def report(self, key, epoch, seconds, **changes):
        record = {"epoch": epoch, "train_loss": 0.5, **changes}
        result = {"reports": [{"key": key, "seconds": seconds, "record": record}]}
        self.callback.on_trial_result(0, [], self.trial, result)

    def fail(self, text):
        self.trial.error_file = self.folder / "error.txt"
        self.trial.error_file.write_text(text)
        self.callback.on_trial_error(0, [], self.trial)

    def suggested(self, count):
        """Keys of the next suggestions."""
        answers = [self.searcher.suggest(str(number)) for number in range(count)]
        return [[item["key"] for item in answer["trials"]] for answer in answers if answer]

    def entries(self):
        return [(entry.kind, entry.trial) for entry in self.journal.entries()]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.journal.close()


def test_callback_records_each_trial_of_a_share(world):
    world.report(KEYS[0], 1, 3.0)
    world.report(KEYS[0], 2, 6.0, outcome="completed")
    assert world.entries() == [
        *(("trial_started", KEYS[0]), ("epoch", KEYS[0]), ("epoch", KEYS[0])),
        *(("trial_ended", KEYS[0]), ("trial_started", KEYS[1])),
    ]


def test_callback_records_the_start_of_a_short_trial_with_its_end(world):
    world.report(KEYS[0], 1, 0.5, outcome="completed")
    world.report(KEYS[1], 1, 0.5, outcome="completed")
    assert world.entries()[3:] == [
        *(("trial_started", KEYS[1]), ("epoch", KEYS[1]), ("trial_ended", KEYS[1])),
    ]
    started, _, ended = list(world.journal.entries())[3:]
    assert 500 <= ended.time_ms - started.time_ms < 10_000


def test_error_of_a_trial_is_its_own_and_the_others_run_again(world):
    world.report(KEYS[0], 1, 0.5, outcome="completed")
    world.fail(RAISED)
    world.trial.config["trials"] = world.trial.config["trials"][1:2]  # the retry runs alone
    world.fail(RAISED)  # twice in a row after the same epoch: a bug
    assert world.journal.outcomes[KEYS[1]] == "failed"
    assert not {*KEYS[2:]} & world.journal.outcomes.keys()
    assert world.suggested(2) == [[KEYS[2]], [KEYS[3]]]


def test_death_of_the_process_of_a_share_blames_no_trial(world):
    world.report(KEYS[0], 1, 0.5, outcome="completed")
    world.fail(DIED)
    assert KEYS[1] not in world.journal.outcomes
    assert world.suggested(2) == [[KEYS[1]], [KEYS[2]]]  # alone, where a death has one cause
