"""Time of whole sweeps, against what a user would write instead (`throughput_rivals.py`).

    python tests/benchmarks/bench_throughput.py [--repeats N] [--trials N] [--json FILE]

Contenders run one after another, in turns, so that whatever else the machine does meets all of
them. Every contender starts from nothing but the service, which is running, as it is for a user.
A contender's time is that from its start to the end of its last trial; its rate is that of the
trials after the first one, without the start. Processor seconds are those of all its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
from process_costs import Costs
from stack import Stack
from sweep import ENDED, look

from service.client import Client

GRID = """
name: bench-grid
dataset: digits
ood: null
model: cnn-tiny
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-4, 1e-3, 1e-2, 1e-1], weight_decay: [0, 1e-8, 1e-6, 1e-4]}
training: {epochs: 10, batch_size: 64, augmentation: none}
curvature: null
"""
MEASURED = GRID.replace("ood: null", "ood: {severities: [1, 3, 5], images: 200}").replace(
    "curvature: null", "curvature: {images: 200, trace_tolerance: 0.05}"
)
VGG = """
name: bench-vgg
dataset: {name: image-folder, kwargs: {path: noise}, train_size: 1000, test_size: 200}
ood: null
model: vgg11-slim
optimizers: [sa-sam, sam, sa-sgd, msgd, adam]
search: {learning_rate: [1e-2, 1e-1], weight_decay: [1e-4]}
training: {epochs: 2, batch_size: 128, augmentation: none}
curvature: null
"""
WORKLOADS = {
    "demo grid": GRID,
    "demo grid, curvature and corruptions": MEASURED,
    "slim VGG": VGG,
}
RIVALS = ("tune", "processes", "optuna")
_POLL_SECONDS = 0.2
_LIMIT_SECONDS = 3_600


@dataclass(frozen=True)
class Run:
    """One run of a contender."""

    seconds: float
    trials_per_second: float
    core_seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--trials", type=int, help="at most so many trials of a workload")
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--rivals", nargs="+", default=list(RIVALS), choices=RIVALS)
    parser.add_argument("--json", type=Path, help="file for the record")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sasam-bench-") as name:
        folder = Path(name)
        data = folder / "data"
        write_images(data / "noise")
        os.environ |= {"SASAM_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
        results = {
            title: compare(
                limited(WORKLOADS[title], arguments.trials),
                *(folder, data, arguments.rivals, arguments.repeats, arguments.cpus),
            )
            for title in arguments.workloads
        }
    record = describe(arguments.cpus, arguments.repeats) | {"workloads": results}
    print(table(record))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def compare(
    specification: str, folder: Path, data: Path, rivals: list[str], repeats: int, cpus: int
) -> dict[str, list[dict[str, float]]]:
    """The runs of each contender on a workload, in turns."""
    runs: dict[str, list[Run]] = {name: [] for name in ("service", *rivals)}
    home = Path(tempfile.mkdtemp(dir=folder))
    stack = Stack(home / "home", cpus=cpus)
    for _ in range(repeats):
        # A stack that runs beside a rival would cost it processor time.
        with stack_running(stack):
            runs["service"].append(of_service(stack, specification))
        stack = Stack(home / "home", cpus=cpus)
        for rival in rivals:
            runs[rival].append(of_rival(rival, specification, home, data, cpus))
            print(f"{rival}: {runs[rival][-1]}", file=sys.stderr, flush=True)
    return {name: [asdict(run) for run in found] for name, found in runs.items()}


def stack_running(stack: Stack):
    """The service, Ray and MLflow without a second node."""
    return stack.running(second_node=False)


def of_service(stack: Stack, specification: str) -> Run:
    """One sweep, from its submission to its end."""
    with Costs(stack.home) as costs, Client(stack.url("service")) as client:
        started = time.time()
        sweep_id = client.sweeps.submit(specification).sweep_id
        while (sweep := look(stack, sweep_id)) is None or sweep.state not in ENDED:
            if time.time() - started > _LIMIT_SECONDS:
                raise RuntimeError(f"sweep {sweep_id} did not end")
            time.sleep(_POLL_SECONDS)
        seconds = time.time() - started
        trials = list(client.sweeps.get(sweep_id).trials())
    if sweep.state != "completed":
        raise RuntimeError(f"the sweep is {sweep.state}: {sweep.detail.reason}")
    ends = sorted(trial.ended_at.timestamp() for trial in trials if trial.ended_at is not None)
    run = Run(seconds, rate(ends), sum(costs.seconds.values()))
    print(f"service: {run}", file=sys.stderr, flush=True)
    return run


def of_rival(rival: str, specification: str, folder: Path, data: Path, cpus: int) -> Run:
    """One run of a rival, as a program of its own."""
    own = Path(tempfile.mkdtemp(dir=folder))
    (own / "spec.yaml").write_text(specification)
    with Costs(own) as costs:
        started = time.time()
        done = subprocess.run(
            [
                *(sys.executable, str(Path(__file__).with_name("throughput_rivals.py"))),
                *(rival, str(own / "spec.yaml"), "--data", str(data), "--folder", str(own)),
                *("--cpus", str(cpus)),
            ],
            env=os.environ | {"SASAM_HOME": str(own), "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=(own / "log.txt").open("wb"),
            text=True,
            timeout=_LIMIT_SECONDS,
        )
    if done.returncode:
        raise RuntimeError(f"{rival} failed: {(own / 'log.txt').read_text()[-2000:]}")
    ends = sorted(float(line) for line in done.stdout.splitlines() if line[:1].isdigit())
    return Run(ends[-1] - started, rate(ends), sum(costs.seconds.values()))


def rate(ends: list[float]) -> float:
    """Trials a second after the first; 0 if there is one trial."""
    return (len(ends) - 1) / max(ends[-1] - ends[0], 1e-3)


def limited(specification: str, trials: int | None) -> str:
    """The specification with its first learning rates, of at most so many trials."""
    if trials is None:
        return specification
    return specification.replace(
        "{learning_rate: [1e-4, 1e-3, 1e-2, 1e-1], weight_decay: [0, 1e-8, 1e-6, 1e-4]}",
        f"{{learning_rate: [1e-2], weight_decay: {[0, 1e-8, 1e-6, 1e-4][: max(1, trials // 5)]}}}",
    )


def write_images(folder: Path) -> None:
    """Images of noise, a hundred and twenty of each of ten classes."""
    generator = np.random.default_rng(0)
    for label in range(10):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(150):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{number}.png")


def describe(cpus: int, repeats: int) -> dict[str, object]:
    """Machine and versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model,
        "cpus": cpus,
        "load": os.getloadavg()[0],
        "repeats": repeats,
        "versions": {name: version(name) for name in ("sasam", "torch", "ray", "mlflow", "optuna")},
    }


def table(record: dict[str, object]) -> str:
    """The record as Markdown."""
    lines = [
        "| workload | contender | s | trials/s after the first | core-s | time of the service |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for title, contenders in record["workloads"].items():  # type: ignore[attr-defined]
        own = statistics.median(run["seconds"] for run in contenders["service"])
        for name, runs in contenders.items():
            seconds = [run["seconds"] for run in runs]
            rates = statistics.median(run["trials_per_second"] for run in runs)
            cores = statistics.median(run["core_seconds"] for run in runs)
            lines.append(
                f"| {title} | {name} | {statistics.median(seconds):.1f} "
                f"({min(seconds):.1f} to {max(seconds):.1f}) | {rates:.2f} | {cores:.1f} "
                f"| {statistics.median(seconds) / own:.2f} x |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
