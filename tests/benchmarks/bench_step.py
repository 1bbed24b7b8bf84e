"""What a training step, a Hessian-vector product and a trial's curvature cost, by model and mode.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_step.py --output docs/benchmarks.md

Writes a section of the page, and its numbers as JSON beside it. Milliseconds are processor time of
this process, which other work on the machine disturbs least, except with two threads, where the
clock counts. What is compared runs in turns, so that a disturbance meets all; numbers are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from page import write_section
from torch import Tensor, nn
from torch.nn import functional as F

from sasam.curvature import HessianOperator
from sasam.curvature._affine_chain import AffineChain
from workers.models import build_model
from workers.spec import ModelSpec, load_spec
from workers.training import Trial
from workers.trial_data import DeviceData, load_trial_data

HEADING = "## Training step and curvature"
VECTORS = 4
STEPS = 5
"""Training steps of one measurement."""


@dataclass(frozen=True)
class Workload:
    """A network with a mini-batch of made-up examples.

    Attributes:
        name: Row of the tables.
        model: Name of the model.
        kwargs: Its keyword arguments.
        inputs: Keyword arguments that depend on the data.
        batch_size: Examples of a training step.
        examples: Examples of a Hessian-vector product.
    """

    name: str
    model: str
    inputs: dict[str, int]
    batch_size: int
    examples: int
    kwargs: dict[str, int] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """Return the network with its weights drawn from a fixed seed."""
        torch.manual_seed(0)
        return build_model(ModelSpec(name=self.model, kwargs=self.kwargs), **self.inputs)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Return random examples and labels."""
        generator = torch.Generator().manual_seed(0)
        classes = self.inputs["num_classes"]
        if "context" in self.inputs:
            shape = size, self.inputs["context"]
            tokens = torch.randint(classes, (2, *shape), generator=generator)
            return tokens[0], tokens[1]
        side = self.inputs["image_size"]
        images = torch.randn(size, self.inputs["in_channels"], side, side, generator=generator)
        return images, torch.arange(size) % classes


DIGITS = {"num_classes": 10, "in_channels": 1, "image_size": 8}
CIFAR = {"num_classes": 10, "in_channels": 3, "image_size": 32}
WORKLOADS = [
    Workload("cnn-tiny, digits", "cnn-tiny", DIGITS, 64, 200),
    Workload("vgg11-slim, 32 x 32", "vgg11-slim", CIFAR, 32, 32),
    Workload(
        "vit-small (64 wide, 4 blocks), 32 x 32",
        *("vit-small", CIFAR, 32, 16),
        {"dim": 64, "depth": 4, "heads": 4, "mlp_dim": 128},
    ),
    Workload(
        "gpt (32 wide, 2 blocks), 32 tokens",
        *("gpt", {"num_classes": 64, "context": 32}, 32, 32),
        {"width": 32, "depth": 2, "heads": 2},
    ),
]
MODES: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "channels last": {"channels_last": True},
    "compiled": {"compiled": True},
    "channels last, compiled": {"channels_last": True, "compiled": True},
    "contiguous, 2 threads": {"threads": 2},
    "channels last, 2 threads": {"channels_last": True, "threads": 2},
}
PARTS = ["curvature_share", "products_ms", "steps_ms"]
OPTIMIZERS = ["sa-sam", "sam", "sa-sgd", "msgd", "adam"]


def main() -> None:
    """Write the section and its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = arguments.output.with_name("benchmarks-step.json")
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    record |= {
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rounds": record.get("rounds", {}),
        "load": record.get("load", {}),
    }
    for part in arguments.parts:
        record["load"][part] = round(os.getloadavg()[0], 1)
        record["rounds"][part] = arguments.rounds
        record[part] = (
            steps(arguments.rounds, {mode: MODES[mode] for mode in arguments.modes})
            if part == "steps_ms"
            else _MEASURED[part](arguments.rounds)
        )
        path.write_text(json.dumps(record, indent=1) + "\n")
    if set(PARTS) <= record.keys():
        write_section(arguments.output, HEADING, section(record))


def curvature_shares(rounds: int) -> dict[str, dict[str, float]]:
    """CPU seconds of the parts of a trial of the preset `digits`, by optimizer."""
    spec = load_spec((files("workers.presets") / "digits.yaml").read_text())
    folder = Path.home() / ".cache" / "sasam-benchmarks"
    host = load_trial_data(spec.dataset, spec.ood, data_dir=folder, cache_dir=folder)
    data = DeviceData(host, torch.device("cpu"))
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for name in OPTIMIZERS:
            config = next(
                trial
                for trial in spec.trials
                if trial.optimizer.name == name and trial.learning_rate == 0.01
            )
            for part, seconds in parts_of_trial(Trial(config, data)).items():
                found.setdefault(name, {}).setdefault(part, []).append(seconds)
        report("curvature")
    shares = {}
    for name, parts in found.items():
        medians = {part: statistics.median(seconds) for part, seconds in parts.items()}
        shares[name] = medians | {"share": medians["curvature"] / sum(medians.values())}
    return shares


def parts_of_trial(trial: Trial) -> dict[str, float]:
    """CPU seconds that a trial trains, measures its end but for curvature, and curvature."""
    started = time.process_time()
    while not trial.is_trained:
        trial.train_epoch()
    trained = time.process_time()
    trial.measure_curvature()
    curved = time.process_time()
    trial.measure_end()
    ended = time.process_time()
    curvature = curved - trained
    return {
        "training": trained - started,
        "curvature": curvature,
        "corrupted images": max(0.0, ended - curved - curvature),
    }


def products(rounds: int) -> dict[str, dict[str, float]]:
    """Costs of products, by workload."""
    return {workload.name: products_of(workload, rounds) for workload in WORKLOADS}


def products_of(workload: Workload, rounds: int) -> dict[str, float]:
    """CPU milliseconds of a gradient and of products with the Hessian."""
    model = workload.build()
    batch = workload.batch(workload.examples)
    model(batch[0])
    here = HessianOperator(model, F.cross_entropy, [batch])
    with patch.object(AffineChain, "of", lambda *_: None):
        graph = HessianOperator(model, F.cross_entropy, [batch])
    vectors = torch.randn(here.size, VECTORS)
    weights = list(model.eval().parameters())

    def gradient() -> None:
        for _ in range(VECTORS):
            torch.autograd.grad(F.cross_entropy(model(batch[0]), batch[1]), weights)

    contenders: dict[str, Callable[[], object]] = {
        "gradient": gradient,
        "product": lambda: here.matmat(vectors),
        "quadratic form": lambda: here.quadratic_forms(vectors),
        "product by graph": lambda: graph.matmat(vectors),
    }
    times = in_turns(contenders, rounds, time.process_time)
    report(workload.name)
    return {name: 1e3 * seconds / VECTORS for name, seconds in times.items()}


def steps(rounds: int, modes: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Costs of steps, by workload."""
    return {workload.name: steps_of(workload, modes, rounds) for workload in WORKLOADS}


def steps_of(workload: Workload, modes: dict[str, dict[str, Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of a training step in each mode: CPU time; the clock's with two threads."""
    one = {
        name: training(workload, **mode) for name, mode in modes.items() if "threads" not in mode
    }
    found = in_turns(one, rounds, time.process_time)
    clock = in_turns(
        {
            name: with_threads(training(workload, **mode), mode.get("threads", 1))
            for name, mode in {"contiguous": {}, **modes}.items()
            if not mode.get("compiled")
        },
        rounds,
        time.perf_counter,
    )
    report(workload.name)
    wall = {f"clock: {name}": seconds for name, seconds in clock.items()}
    return {name: 1e3 * seconds / STEPS for name, seconds in (found | wall).items()}


def training(
    workload: Workload,
    *,
    channels_last: bool = False,
    compiled: bool = False,
    threads: int = 1,
) -> Callable[[], None]:
    """Some training steps with SGD; the first call may compile."""
    model = workload.build().train()
    inputs, labels = workload.batch(workload.batch_size)
    if channels_last and inputs.ndim == 4:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    network = torch.compile(model) if compiled else model

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]  # torch
            optimizer.step()

    return with_threads(run, threads)


def with_threads(run: Callable[[], None], threads: int) -> Callable[[], None]:
    """The same on a number of threads."""

    def on_threads() -> None:
        with limited(threads):
            run()

    return on_threads


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Use this number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turns(
    contenders: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of each, after one call that does not count."""
    for contender in contenders.values():
        contender()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = clock()
            contender()
            times[name].append(clock() - started)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def section(record: dict[str, Any]) -> str:
    """The section of the page."""
    modes = list(next(iter(record["steps_ms"].values())))
    lines = [
        HEADING,
        "",
        f"Made by `tests/benchmarks/bench_step.py`: {record['machine']}, Python "
        f"{record['python']}, torch {record['torch']}, "
        f"load {max(record['load'].values())}, median of "
        f"{min(record['rounds'].values())} rounds. "
        "Processor milliseconds on one thread, unless it says clock.",
        "",
        "Processor seconds of a trial of the preset `digits`, by part:",
        "",
        "| optimizer | training | corrupted images | curvature | share of curvature |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {parts['training']:.2f} | {parts['corrupted images']:.2f} | "
        f"{parts['curvature']:.2f} | {100 * parts['share']:.0f} % |"
        for name, parts in record["curvature_share"].items()
    ]
    lines += ["", "A Hessian-vector product beside a gradient of the same examples:", ""]
    lines += table(record["products_ms"], list(next(iter(record["products_ms"].values()))))
    lines += ["", "A training step with SGD:", "", *table(record["steps_ms"], modes), ""]
    return "\n".join(lines)


def table(rows: dict[str, dict[str, float]], columns: list[str]) -> list[str]:
    """A table of milliseconds."""
    return [
        f"| model | {' | '.join(columns)} |",
        "|---" + "|---:" * len(columns) + "|",
        *(
            f"| {name} | {' | '.join(f'{cells[column]:.1f}' for column in columns)} |"
            for name, cells in rows.items()
        ),
    ]


def report(what: str) -> None:
    """Say how far the benchmark is."""
    print(what, file=sys.stderr, flush=True)


_MEASURED = {
    "curvature_share": curvature_shares,
    "products_ms": products,
}

if __name__ == "__main__":
    main()
