"""Trials per second of whole sweeps, beside what a user would write instead.

    python tests/benchmarks/bench_throughput.py --output docs/benchmarks.md

The rivals are the programs of `throughput_rivals.py`. All contenders train the same trials, in
turns, so that whatever else the machine does meets each of them. Seconds count from the submission,
or from the start of a rival's program, to the end of the last trial; the rate is that of the trials
after the first, without the start. Processor seconds are those of all processes of a contender.
Writes a section of the page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from page import machine, write_section
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
from process_costs import Costs
from stack import Stack
from sweep import ENDED, look

from service.client import Client

HEADING = "## Throughput"
HERE = Path(__file__).parent
DEMO = """
name: demo grid
dataset: digits
ood: null
model: cnn-tiny
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-3, 1e-2], weight_decay: [1e-4]}
training: {epochs: 10, batch_size: 64, augmentation: none}
curvature: null
"""
MEASURED = DEMO.replace("ood: null", "ood: {severities: [1, 3, 5], images: 200}").replace(
    "curvature: null", "curvature: {images: 200, trace_tolerance: 0.05}"
)
VGG = """
name: slim VGG
dataset: {name: image-folder, kwargs: {path: noise}}
ood: null
model: vgg11-slim
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-2, 1e-1], weight_decay: [1e-4]}
training: {epochs: 2, batch_size: 128, augmentation: none}
curvature: null
"""
WORKLOADS = {
    "demo": (
        "two columns of the demo's grid, 10 trials",
        {"service": DEMO, "service, all measurements": MEASURED},
    ),
    "slim-vgg": ("slim VGG on noise, 10 trials", {"service": VGG}),
}
"""Titles, and specifications for the service, of which the rivals run the first."""
RIVALS = ("processes", "optuna", "ray-tune")
ABOUT = (
    "Rivals (`tests/benchmarks/throughput_rivals.py`) measure neither curvature nor corrupted"
    " images. `ray-tune` and `optuna` are scripts as the documentation teaches them, with a"
    " DataLoader; `processes` is the product's own training in one process per core, with nothing"
    " around it. Medians of {repeats} runs in turns, with the smallest and the largest. The last"
    " column is the median of the ratios of the service's rate to that of the row, turn by turn."
)
LIMIT_SECONDS = 3_600
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Run:
    """One run of a contender.

    Attributes:
        seconds: Time from the submission to the end of the last trial.
        rate: Trials per second after the first.
        core_seconds: Processor seconds of all processes per trial.
    """

    seconds: float
    rate: float
    core_seconds: float

    @classmethod
    def of(cls, started: float, ends: list[float], costs: Costs) -> Run:
        """The run with these moments of its trials' ends."""
        ends = sorted(ends)
        rate = (len(ends) - 1) / (ends[-1] - ends[0])
        return cls(ends[-1] - started, rate, sum(costs.seconds.values()) / len(ends))


def main() -> None:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    names = ("torch", "ray", "optuna", "mlflow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    lines = [
        *(HEADING, ""),
        f"Made by `tests/benchmarks/bench_throughput.py`: {machine()}, {versions}.",
        *(ABOUT.format(repeats=given.repeats), ""),
        "| trials | contender | s | trials/s after the first | core-s per trial | service is |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for workload in given.workloads:
        title, specifications = WORKLOADS[workload]
        with tempfile.TemporaryDirectory(prefix="sasam-bench-") as folder:
            runs = compare(specifications, Path(folder), given.repeats, given.cpus)
        lines += rows(title, runs)
    write_section(given.output, HEADING, "\n".join(lines) + "\n")


def compare(
    specifications: Mapping[str, str], folder: Path, repeats: int, cpus: int
) -> dict[str, list[Run]]:
    """Runs of each contender, in turns."""
    home = folder / "home"
    write_images(home / "data" / "noise")
    runs: dict[str, list[Run]] = {name: [] for name in (*specifications, *RIVALS)}
    for _ in range(repeats):
        # Only while it is measured: beside a rival it would take processor time.
        stack = Stack(home, cpus=cpus)
        with stack.running(second_node=False):
            for name, specification in specifications.items():
                runs[name].append(run_service(stack, specification))
        for name in RIVALS:
            specification = next(iter(specifications.values()))
            runs[name].append(run_rival(name, specification, home / "data", folder, cpus))
        for name, (*_, last) in runs.items():
            print(f"{name}: {last}", file=sys.stderr, flush=True)
    return runs


def run_service(stack: Stack, specification: str) -> Run:
    """One sweep, from its submission to its end.

    Raises:
        RuntimeError: It failed, or does not end.
    """
    with Costs(stack.home) as costs, Client(stack.url("service")) as client:
        started = time.time()
        sweep_id = client.sweeps.submit(specification).sweep_id
        while (sweep := look(stack, sweep_id)) is None or sweep.state not in ENDED:
            if time.time() - started > LIMIT_SECONDS:
                raise RuntimeError(f"sweep {sweep_id} did not end")
            time.sleep(POLL_SECONDS)
        trials = list(client.sweeps.get(sweep_id).trials())
    if sweep.state != "completed":
        raise RuntimeError(f"the sweep is {sweep.state}: {sweep.detail.reason}")
    ends = [trial.ended_at.timestamp() for trial in trials if trial.ended_at is not None]
    return Run.of(started, ends, costs)


def run_rival(name: str, specification: str, data: Path, folder: Path, cpus: int) -> Run:
    """One run of a rival's program.

    Raises:
        RuntimeError: It failed.
    """
    own = Path(tempfile.mkdtemp(dir=folder))
    (own / "specification.yaml").write_text(specification)
    program = [sys.executable, str(HERE / "throughput_rivals.py"), name]
    options = {"--data": data, "--folder": own, "--cpus": cpus}
    arguments = [str(word) for option in options.items() for word in option]
    environment = os.environ | {"SASAM_HOME": str(own), "PYTHONPATH": str(HERE)}
    with Costs(own) as costs, (own / "log.txt").open("w") as log:
        started = time.time()
        done = subprocess.run(
            [*program, str(own / "specification.yaml"), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=LIMIT_SECONDS,
        )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {(own / 'log.txt').read_text()[-2_000:]}")
    ends: dict[str, float] = {}
    for line in done.stdout.splitlines():
        match line.split():
            case ["end", index, moment]:
                ends.setdefault(index, float(moment))  # a trial that is run again counts once
    return Run.of(started, list(ends.values()), costs)


def rows(title: str, runs: Mapping[str, list[Run]]) -> list[str]:
    """The rows of a table for the contenders of a workload."""
    lines = []
    for name, found in runs.items():
        seconds = sorted(run.seconds for run in found)
        rate = median(run.rate for run in found)
        cores = median(run.core_seconds for run in found)
        spread = f"{median(seconds):.0f} ({seconds[0]:.0f} to {seconds[-1]:.0f})"
        ratios = (own.rate / run.rate for own, run in zip(runs["service"], found, strict=True))
        ratio = "" if name == "service" else f"{median(ratios):.2f} times as fast"
        lines.append(f"| {title} | {name} | {spread} | {rate:.2f} | {cores:.2f} | {ratio} |")
    return lines


def write_images(folder: Path) -> None:
    """Images of noise in ten classes, 1,000 for training and 200 for tests."""
    generator = np.random.default_rng(0)
    for part, count in {"train": 100, "test": 20}.items():
        for label in range(10):
            own = folder / part / f"class{label}"
            own.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(own / f"{number}.png")


if __name__ == "__main__":
    main()
