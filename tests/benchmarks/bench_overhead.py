"""What a trial costs beside its training: a sweep of very many very small trials.

    python tests/benchmarks/bench_overhead.py --output docs/benchmarks.md

Each trial is a real one: one epoch on digits, a run in MLflow. There are 500 per seed. Processor
seconds of each process count from the first result to the end. Afterwards some of the trials are
trained by a loop in this process; what the sweep costs beyond that is the overhead. Writes a
section of the page; the exit status is 1 if a trial is missing.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from page import machine, write_section
from process_costs import Costs

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
from stack import Stack
from sweep import ENDED, look

from service.client import Client, Sweep

HEADING = "## Overhead of a trial"
SPECIFICATION = """
name: many
dataset: digits
model: cnn-tiny
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search:
  learning_rate: [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1]
  weight_decay: [0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3]
seeds: SEEDS
training: {epochs: 1, batch_size: 512, augmentation: none}
curvature: null
ood: null
"""
_Result = TypeVar("_Result")
TRIALS_PER_SEED = 500
SAMPLE_SECONDS = 4
TRAINED_ALONE = 200


def main() -> int:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # leave nothing behind
    trials = TRIALS_PER_SEED * given.seeds
    text = SPECIFICATION.replace("SEEDS", str(list(range(given.seeds))))
    with tempfile.TemporaryDirectory(prefix="sasam-many-") as folder:
        stack = Stack(Path(folder) / "home", cpus=given.cpus)
        with (
            stack.running(second_node=False),
            Costs(stack.home) as costs,
            Client(stack.url("service")) as client,
        ):
            submit, sweep = timed(lambda: client.sweeps.submit(text))
            seconds, spent = watch(stack, sweep.sweep_id, costs, trials)
            memory = costs.memory_mb
            questions, completed = ask(client.sweeps.get(sweep.sweep_id))
        alone = train_alone(text, Path(folder))
    lines = [
        *(HEADING, ""),
        f"Made by `tests/benchmarks/bench_overhead.py`: {machine()}. {trials:,} trials of one epoch"
        f" (`cnn-tiny` on digits, batches of 512, no curvature, no corruptions) on {given.cpus}"
        f" slots took **{seconds:.0f} s** from the submission, {completed:,} completed:"
        f" {3_600 * trials / seconds:,.0f} per hour. Processor seconds count from the first result"
        " to the end.",
        *("", *rows(spent, memory, alone), ""),
        f"Submission {submit:.1f} s; afterwards "
        + ", ".join(f"{name} {took:.1f} s" for name, took in questions.items())
        + ".",
    ]
    print("\n".join(lines), flush=True)
    write_section(given.output, HEADING, "\n".join(lines) + "\n")
    return int(completed != trials)


def watch(stack: Stack, sweep_id: str, costs: Costs, trials: int) -> tuple[float, dict[str, float]]:
    """Wait for the end of a sweep; returns its seconds, and core-seconds per trial by role."""
    started = time.monotonic()
    before: Mapping[str, float] = {}
    ended_before = 0
    while (sweep := look(stack, sweep_id)) is None or sweep.state not in ENDED:
        if sweep is not None:
            ended = sweep.progress.ended
            if ended and not before:  # the start is a cost of the sweep, not of a trial
                before, ended_before = costs.seconds, ended
            print(f"{time.monotonic() - started:.0f} s: {ended} ended", file=sys.stderr, flush=True)
        time.sleep(1 if not before else SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    return seconds, {
        role: (found - before.get(role, 0.0)) / (trials - ended_before)
        for role, found in costs.seconds.items()
    }


def train_alone(text: str, folder: Path) -> float:
    """Core-seconds per trial of a loop that trains, without processes, storage and MLflow."""
    import torch

    from workers.seeding import make_deterministic
    from workers.spec import load_spec
    from workers.training import run_trial
    from workers.trial_data import DeviceData, load_trial_data

    make_deterministic()
    torch.set_num_threads(1)
    trials = load_spec(text).trials
    images = load_trial_data(trials[0].dataset, None, data_dir=folder, cache_dir=folder)
    data = DeviceData(images, torch.device("cpu"), trials[0].dataset.placement)
    list(run_trial(trials[0], data))  # the first one imports
    some = random.Random(0).sample(trials, min(TRAINED_ALONE, len(trials)))  # noqa: S311
    started = time.process_time()
    for trial in some:
        list(run_trial(trial, data))
    return (time.process_time() - started) / len(some)


def rows(spent: Mapping[str, float], memory: Mapping[str, float], alone: float) -> list[str]:
    """The table of costs."""
    total = sum(spent.values())
    return [
        "| process | core-seconds per trial | largest memory of one process, MB |",
        "|---|---:|---:|",
        *(f"| {role} | {cost:.4f} | {memory.get(role, 0.0):.0f} |" for role, cost in spent.items()),
        f"| **sum** | **{total:.4f}** | |",
        f"| training alone, in a loop | {alone:.4f} | |",
        f"| **overhead** | **{total - alone:.4f}** | |",
    ]


def ask(sweep: Sweep) -> tuple[dict[str, float], int]:
    """Seconds of each question about an ended sweep, and the number of completed trials."""
    pages, trials = timed(lambda: list(sweep.trials()))
    questions: dict[str, Callable[[], object]] = {
        "summary": sweep.summary,
        "summary again": sweep.summary,
        "csv of trials": sweep.trials_csv,
        "accuracy heatmap": lambda: sweep.figure("accuracy-heatmap"),
    }
    seconds = {name: timed(question)[0] for name, question in questions.items()}
    completed = {trial.key for trial in trials if trial.status == "completed"}
    return {"all trials by pages": pages} | seconds, len(completed)


def timed(call: Callable[[], _Result]) -> tuple[float, _Result]:
    """Seconds that a call takes, and what it returns."""
    started = time.monotonic()
    result = call()
    return time.monotonic() - started, result


if __name__ == "__main__":
    sys.exit(main())
