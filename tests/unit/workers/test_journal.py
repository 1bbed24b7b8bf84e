from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from workers.journal import Journal, Suggestion
from workers.metrics import Outcome
from workers.spec import Configuration

WRITER = """
import sys
from pathlib import Path
from workers.journal import Journal, Suggestion

journal = Journal(Path(sys.argv[1]))
for epoch in range(1, 10**9):
    journal.append("epoch", "a", epoch=epoch, metrics={"train_loss": 1 / epoch})
    print(epoch, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep" / "journal.jsonl"


@pytest.fixture
def open_journal(path):
    """Open the journal, again and again; the file belongs to the last one."""
    journals: list[Journal] = []

    def open_it() -> Journal:
        if journals:
            journals[-1].close()
        journals.append(Journal(path))
        return journals[-1]

    yield open_it
    if journals:
        journals[-1].close()


@pytest.fixture
def journal(open_journal):
    return open_journal()


def test_append_survives_reopening(journal, open_journal):
    journal.append("sweep_started", tags={"sasam.classes": "10"})
    journal.append("trial_started", "a", attempt=1)
    journal.append("epoch", "a", epoch=1, metrics={"train_loss": 0.5})
    entries, behind = journal.read(0, limit=10)
    assert [(entry.kind, entry.trial, entry.data) for entry in entries] == [
        ("sweep_started", "", {"tags": {"sasam.classes": "10"}}),
        ("trial_started", "a", {"attempt": 1}),
        ("epoch", "a", {"epoch": 1, "metrics": {"train_loss": 0.5}}),
    ]
    assert behind == journal.end == journal.path.stat().st_size
    again = open_journal()
    assert again.read(0, limit=10) == (entries, behind)


def test_append_refuses_what_json_cannot_hold(journal):
    with pytest.raises(ValueError, match="JSON"):
        journal.append("epoch", "a", epoch=1, metrics={"train_loss": float("nan")})
    assert journal.read(0, limit=10) == ([], 0)


def test_append_waits_for_a_full_disk(journal, open_journal, monkeypatch, caplog):
    """The disk takes three bytes of the entry, then none twice, then the rest."""
    monkeypatch.setattr("workers.journal._FULL_PAUSE_SECONDS", 0.01)
    file, answers = journal._file, [3, OSError(errno.ENOSPC, "full"), OSError(errno.EDQUOT, "full")]

    class Full:
        def write(self, line):
            if not answers:
                return file.write(line)
            match answers.pop(0):
                case OSError() as error:
                    raise error
                case taken:
                    return file.write(line[:taken])

        close = file.close

    monkeypatch.setattr(journal, "_file", Full())
    journal.append("trial_started", "a", attempt=1)
    journal.append("epoch", "a", epoch=1, metrics={"train_loss": 0.5})
    assert [entry.kind for entry in journal.entries()] == ["trial_started", "epoch"]
    assert not answers
    assert caplog.text.count("until there is space") == 2
    assert open_journal().epochs == {"a": 1}


def test_append_does_not_wait_for_a_broken_disk(journal, monkeypatch):
    class Broken:
        def write(self, line):
            raise OSError(errno.EIO, "broken")

        close = journal._file.close

    monkeypatch.setattr(journal, "_file", Broken())
    with pytest.raises(OSError, match="broken"):
        journal.append("trial_started", "a", attempt=1)
    assert not journal.outcomes
    assert journal.end == 0


def test_read_pages_by_offset(journal):
    for epoch in range(1, 8):
        journal.append("epoch", "a", epoch=epoch, metrics={})
    offset, pages = 0, []
    while offset < journal.end:
        entries, offset = journal.read(offset, limit=3)
        pages.append([entry.data["epoch"] for entry in entries])
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]
    assert journal.read(offset, limit=3) == ([], offset)


def test_is_recorded_counts_every_epoch_once(journal, open_journal):
    journal.append("trial_started", "a", attempt=1)
    assert not journal.is_recorded("a", 1)
    for epoch in (1, 2, 3):
        journal.append("epoch", "a", epoch=epoch, metrics={})
    again = open_journal()
    again.append("trial_started", "a", attempt=2)
    assert [again.is_recorded("a", epoch) for epoch in (1, 3, 4)] == [True, True, False]
    assert not again.is_recorded("b", 1)


def test_suggestions_and_latest_metrics_survive_reopening(journal, open_journal):
    former = {"learning_rate": 0.1 / 3, "weight_decay": 0.0}  # as releases before other axes wrote
    journal.append("suggestion", label="sam", number=0, **former)
    betas = {"learning_rate": 0.1 / 3, "optimizer.betas": [0.9, 0.99]}
    journal.append("suggestion", label="sam", number=1, configuration=betas)
    journal.append("epoch", "a", epoch=1, metrics={"train_loss": 1.0, "val_accuracy": 0.5})
    journal.append("epoch", "a", epoch=2, metrics={"train_loss": 0.5})
    again = open_journal()
    assert again.suggestions == [
        Suggestion("sam", 0, Configuration(former)),
        Suggestion("sam", 1, Configuration(betas)),
    ]
    assert again.metrics == {"a": {"train_loss": 0.5, "val_accuracy": 0.5}}
    assert [entry.kind for entry in again.entries()] == ["suggestion"] * 2 + ["epoch"] * 2


def test_outcome_is_forgotten_when_the_trial_starts_again(journal, open_journal):
    journal.append("trial_started", "a", attempt=1)
    journal.append("trial_ended", "a", outcome=Outcome.FAILED, epoch=0)
    journal.append("trial_ended", "b", outcome=Outcome.DIVERGED, epoch=3)
    again = open_journal()
    assert again.outcomes == {"a": Outcome.FAILED, "b": Outcome.DIVERGED}
    again.append("trial_started", "a", attempt=2)
    assert again.outcomes == {"b": Outcome.DIVERGED}
    assert open_journal().outcomes == {"b": Outcome.DIVERGED}


@pytest.mark.parametrize(
    "tail",
    [
        b'{"kind": "epoch", "trial": "a", "ti',
        b'{"kind": "epoch", "trial": "a", "time_ms": 1, "data": {"epoch": 2, "metrics": {}}}',
        b"\0" * 64,
        b"\0" * 64 + b"\n",
        b"[1, 2]\n",
        b'{"kind": "epoch"}\n{"kind"',
    ],
)
def test_recover_cuts_what_cannot_be_read(journal, tail, open_journal):
    journal.append("epoch", "a", epoch=1, metrics={})
    with journal.path.open("ab") as file:
        file.write(tail)
    again = open_journal()
    assert again.epochs == {"a": 1}
    again.append("epoch", "a", epoch=2, metrics={})
    entries, _ = again.read(0, limit=10)
    assert [entry.data["epoch"] for entry in entries] == [1, 2]
    lines = again.path.read_text().splitlines()
    assert [json.loads(line)["data"]["epoch"] for line in lines] == [1, 2]


def test_wait_wakes_up_when_something_is_appended(journal):
    assert not journal.wait(0, 0)
    woken = threading.Event()
    reader = threading.Thread(target=lambda: journal.wait(0, 60) and woken.set())
    reader.start()
    journal.append("sweep_started", tags={})
    reader.join(timeout=30)
    assert woken.is_set()
    assert journal.wait(0, 0)
    assert not journal.wait(journal.end, 0)


@pytest.mark.slow
def test_killed_writer_leaves_a_journal_that_the_next_one_reads(path, open_journal):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    while int(writer.stdout.readline()) < 200:
        pass
    writer.kill()
    printed = [int(line) for line in writer.communicate()[0].splitlines()]
    journal = open_journal()
    recorded = journal.epochs["a"]
    assert recorded >= max(printed, default=200)
    entries, _ = journal.read(0, limit=10**9)
    assert [entry.data["epoch"] for entry in entries] == list(range(1, recorded + 1))


@pytest.mark.slow
def test_second_writer_waits_for_the_end_of_the_first(path, open_journal):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    opened: list[Journal] = []
    second = threading.Thread(target=lambda: opened.append(open_journal()))
    second.start()
    while int(writer.stdout.readline()) < 100:
        assert not opened
    writer.kill()
    writer.communicate()
    second.join(timeout=30)
    assert opened[0].epochs["a"] >= 100
