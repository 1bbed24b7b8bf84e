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
from collections.abc import Callable
from pathlib import Path

from stack import Stack, command
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
"""
SAMPLE_SECONDS = 20


def resident_mb(pid: int) -> float:
    """Memory of a process that may be gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * 4096 / 1e6


def timed(name: str, call: Callable[[], object]) -> None:
    """Say how long a call takes."""
    started = time.monotonic()
    call()
    print(f"{name}: {time.monotonic() - started:.2f} s", flush=True)


def drivers(stack: Stack) -> list[int]:
    """Processes of drivers."""
    return [pid for pid in stack.ray("workers.driver") if "-m workers.driver" in command(pid)]


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
        with stack.running(second_node=False), Client(stack.url("service")) as client:
            text = SPECIFICATION.replace("SEEDS", str(list(range(arguments.seeds))))
            timed("dry run", lambda: client.sweeps.estimate(text))
            started = time.monotonic()
            sweep_id = client.sweeps.submit(text).sweep_id
            print(f"submitted: {time.monotonic() - started:.2f} s", flush=True)
            (service,), most = stack.child("service"), {"service": 0.0, "driver": 0.0}
            while (sweep := look(stack, sweep_id)) is None or sweep.state not in ENDED:
                sizes = {
                    "service": resident_mb(service),
                    "driver": max(map(resident_mb, drivers(stack)), default=0.0),
                }
                most = {name: max(most[name], size) for name, size in sizes.items()}
                if sweep is not None:
                    passed = time.monotonic() - started
                    ended = sweep.progress.ended
                    print(f"{passed:.0f} s: {ended} ended, {sizes} MB", flush=True)
                time.sleep(SAMPLE_SECONDS)
            print(f"{sweep.state} after {time.monotonic() - started:.0f} s; most memory {most} MB")
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
