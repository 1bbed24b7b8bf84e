"""How long a user waits: for `sasam up`, and for the first epoch of a sweep.

    python tests/benchmarks/bench_start.py --output docs/benchmarks.md

Starts the embedded mode in a new folder, submits two trials of digits, submits them again with
another seed, and ends; then again in the same folder. Seconds count from the start of the command
or from the submission, on the clock. Writes a section of the page.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from page import machine, write_section

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
from stack import Stack

from service.client import Client

HEADING = "## Start"
SPECIFICATION = """
name: start
dataset: digits
ood: {corruptions: [fog], severities: [1], images: 100}
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [1e-2, 1e-1], weight_decay: [1e-4]}
seeds: [SEED]
training: {epochs: 10, batch_size: 64, augmentation: none}
curvature: {images: 100}
"""
STAGES = ("`sasam up` is ready", "driver starts", "sweep runs", "first epoch", "sweep has ended")
POLL_SECONDS = 0.05
LIMIT_SECONDS = 120


def main() -> None:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    columns: dict[str, list[list[float]]] = {}
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory(prefix="sasam-start-") as folder:
            for home in ("new folder", "again"):
                stack = Stack(Path(folder) / "home", cpus=given.cpus)
                ready, *sweeps = measure(stack, seeds=(0, 1) if home == "new folder" else (2,))
                for number, seconds in enumerate(sweeps):
                    title = "second sweep" if number else f"first sweep, {home}"
                    shown = [ready, *seconds] if number == 0 else [float("nan"), *seconds]
                    columns.setdefault(title, []).append(shown)
                    print(title, shown, file=sys.stderr, flush=True)
    write_section(given.output, HEADING, "\n".join(section(columns, given.repeats)) + "\n")


def measure(stack: Stack, seeds: tuple[int, ...]) -> list[float | list[float]]:
    """Seconds until the service is ready, then those of the stages of one sweep per seed."""
    started = time.monotonic()
    with stack.running(second_node=False):
        found: list[float | list[float]] = [time.monotonic() - started]
        with Client(stack.url("service")) as client:
            found += [stages(client, seed) for seed in seeds]
    return found


def stages(client: Client, seed: int) -> list[float]:
    """Seconds from a submission to each stage of the sweep."""
    started = time.monotonic()
    sweep = client.sweeps.submit(SPECIFICATION.replace("SEED", str(seed)))

    def state() -> str:
        return client.sweeps.get(sweep.sweep_id).state

    tests: list[Callable[[], bool]] = [
        lambda: state() != "queued",
        lambda: state() not in ("queued", "starting"),
        lambda: any(trial.epoch > 0 for trial in sweep.trials()),
        lambda: state() == "completed",
    ]
    found = []
    for test in tests:
        while not test():
            if time.monotonic() - started > LIMIT_SECONDS:
                raise RuntimeError(f"sweep {sweep.sweep_id} is {state()}")
            time.sleep(POLL_SECONDS)
        found.append(time.monotonic() - started)
    return found


def section(columns: dict[str, list[list[float]]], repeats: int) -> list[str]:
    """The lines of the section."""
    lines = [
        *(HEADING, ""),
        f"Made by `tests/benchmarks/bench_start.py`: {machine()}. Seconds on the clock, from the",
        "command or the submission of two trials of digits to each stage as the API shows it;"
        f" medians of {repeats} runs.",
        "",
        f"| stage | {' | '.join(columns)} |",
        "|---" + "|---:" * len(columns) + "|",
    ]
    for number, stage in enumerate(STAGES):
        cells = [median(run[number] for run in runs) for runs in columns.values()]
        lines.append(f"| {stage} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    return [line.replace(" nan ", " ") for line in lines]


if __name__ == "__main__":
    main()
