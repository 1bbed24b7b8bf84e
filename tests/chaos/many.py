"""Run a sweep of very many very small trials, and say what it costs the service and the driver.

    python tests/chaos/many.py --seeds 20

Each trial is a real one: one epoch on digits, a run in MLflow. A hundred for each seed and
optimizer.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from process_costs import Costs
from stack import Stack
from sweep import ENDED, look

from service.client import Client
from service.trials.schemas import TrialView

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
SAMPLE_SECONDS = 20


def timed(name: str, call: Callable[[], object]) -> None:
    """Say how long a call takes."""
    started = time.monotonic()
    call()
    print(f"{name}: {time.monotonic() - started:.2f} s", flush=True)


def report(costs: Costs, before: Mapping[str, float], trials: int) -> None:
    """Print what a trial cost after the start, and the largest memory, by process."""
    print("| process | core-seconds a trial | largest memory, MB |\n|---|---:|---:|")
    for role, seconds in costs.seconds.items():
        cost = (seconds - before.get(role, 0.0)) / trials
        print(f"| {role} | {cost:.4f} | {costs.memory_mb.get(role, 0.0):.0f} |", flush=True)


def main() -> int:
    """Submit, run and read the sweep; returns 1 if a trial is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cpus", type=int, default=2)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # leave nothing behind
    expected = 500 * arguments.seeds
    with tempfile.TemporaryDirectory(prefix="sasam-many-") as folder:
        stack = Stack(Path(folder) / "home", cpus=arguments.cpus)
        with (
            stack.running(second_node=False),
            Costs(stack.home) as costs,
            Client(stack.url("service")) as client,
        ):
            text = SPECIFICATION.replace("SEEDS", str(list(range(arguments.seeds))))
            timed("dry run", lambda: client.sweeps.estimate(text))
            started = time.monotonic()
            sweep_id = client.sweeps.submit(text).sweep_id
            print(f"submitted: {time.monotonic() - started:.2f} s", flush=True)
            before: dict[str, float] = {}
            ended_before = 0
            while (sweep := look(stack, sweep_id)) is None or sweep.state not in ENDED:
                if sweep is not None:
                    ended = sweep.progress.ended
                    if ended and not before:  # the start is a cost of the sweep, not of a trial
                        before, ended_before = costs.seconds, ended
                    print(f"{time.monotonic() - started:.0f} s: {ended} ended", flush=True)
                time.sleep(SAMPLE_SECONDS)
            print(f"{sweep.state} after {time.monotonic() - started:.0f} s")
            report(costs, before, expected - ended_before)
            ended_sweep = client.sweeps.get(sweep_id)
            trials: list[TrialView] = []
            timed("all trials by pages", lambda: trials.extend(ended_sweep.trials()))
            timed("summary, cold", ended_sweep.summary)
            timed("summary, warm", ended_sweep.summary)
            timed("csv", ended_sweep.trials_csv)
            timed("accuracy heatmap", lambda: ended_sweep.figure("accuracy-heatmap"))
    completed = {trial.key for trial in trials if trial.status == "completed"}
    print(f"{len(trials)} trials, {len(completed)} completed, {expected} expected")
    return 0 if len(trials) == len(completed) == expected else 1


if __name__ == "__main__":
    sys.exit(main())
