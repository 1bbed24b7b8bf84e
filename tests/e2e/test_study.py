"""The study runs through the real service, and continues after an interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from study.parts import RECORDS
from study.records import PartRecord, read_costs, read_records
from study.report import render_report
from tests.support.waiting import wait_until

SPECIFICATION = """
name: tiny-study
dataset: {name: digits, validation: split}
ood: {corruptions: [fog], severities: [3], images: 100}
model: cnn-tiny
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-3, 1e-2, 1e-1], weight_decay: [0, 1e-4]}
seeds: [0, 1]
training: {epochs: 2, batch_size: 64, augmentation: none}
curvature: {images: 60, trace_tolerance: 0.2, max_matvecs: 20}
"""
TRIALS = 5 * 3 * 2 * 2
PROGRAM = """
import sys
from pathlib import Path
from rich.console import Console
from study.parts import Part
from study.runs import run_study
folder = Path(sys.argv[1])
part = Part("digits", "tiny", figures=("lr-curves",), folder=folder)
run_study([part], Console(), conditions="a test", records=folder / "records", figures=folder)
"""


@pytest.mark.timeout(900)
def test_study_continues_after_an_interruption(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(SPECIFICATION)
    home = tmp_path / "home"
    first = _start(tmp_path, home)
    try:
        wait_until(lambda: _ended(home).total() > 0, seconds=300)
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(120)
    assert not (tmp_path / "records").exists()
    assert _start(tmp_path, home).wait(600) == 0
    assert _ended(home).total() == TRIALS
    assert set(_ended(home).values()) == {1}, "a finished trial was run again"
    assert (tmp_path / "study-digits-lr-curves.svg").stat().st_size < 200_000
    _require_report_of(tmp_path / "records")


def _require_report_of(folder: Path) -> None:
    """Check the record and the report that follows from it."""
    records = read_records(folder, ["digits"])
    record: PartRecord = records["digits"]
    assert record.is_complete
    assert len(record.trials) == TRIALS
    assert record.run.code_version != "unknown"
    assert record.difference("sa-sam", "adam", "learning_rate.sensitivity").low is not None
    assert record.equal_compute is not None
    costs = read_costs(folder)
    assert costs == read_costs(RECORDS), "the committed costs are those of the presets"
    assert "16.8 million" in render_report(records, costs)


def _start(folder: Path, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=os.environ | {"SASAM_STUDY_HOME": str(home), "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )


def _ended(home: Path) -> Counter[str]:
    """How often each trial has ended, by its key, in the journals."""
    ended: Counter[str] = Counter()
    for journal in home.glob("storage/sweeps/*/journal.jsonl"):
        for line in journal.read_text().splitlines():
            event = json.loads(line) if line.endswith("}") else {}
            if event.get("kind") == "trial_ended":
                ended[event["trial"]] += 1
    return ended
