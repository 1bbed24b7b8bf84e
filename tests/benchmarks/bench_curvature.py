"""Curvature against PyHessian 0.1 on two trained networks: time, error and memory.

    python tests/benchmarks/bench_curvature.py --data cifar10.npz

The data are an npz with `train_x` (uint8, n x 32 x 32 x 3) and `train_y`. Each network is trained
for a few epochs; every measurement runs in a process of its own, whose peak memory is its own.
On one thread the seconds are the processor's, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from sasam.curvature import HessianOperator, estimate_extremal_eigenvalues, estimate_trace


def vgg11() -> nn.Module:
    """VGG-11 with BatchNorm at a quarter of its width."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (16, 0, 32, 0, 64, 64, 0, 128, 128, 0, 128, 128, 0):
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.project(attended)
        return tokens + self.mlp(self.norm2(tokens))


class ViT(nn.Module):
    """Four blocks, 64 wide, patches of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 4, 4)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 64, 64))
        self.blocks = nn.Sequential(*[Block(64, 4) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(1))


NETWORKS = {"vgg11": vgg11, "vit": ViT}


def load(path: Path, count: int) -> tuple[Tensor, Tensor]:
    with np.load(path) as arrays:
        images = torch.tensor(arrays["train_x"][:count]).float() / 255
        labels = torch.tensor(arrays["train_y"][:count]).long()
    return ((images - 0.47) / 0.25).permute(0, 3, 1, 2).contiguous(), labels


def train(name: str, data: Path, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    images, labels = load(data, 4000)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(125):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Run one estimate by one tool; return its value, seconds and products."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(task["threads"])
    torch.manual_seed(task["seed"])
    model = NETWORKS[task["network"]]()
    model.load_state_dict(torch.load(task["weights"]))
    images, labels = load(Path(task["data"]), task["images"])
    clock = time.process_time if task["threads"] == 1 else time.perf_counter
    started = clock()
    with sdpa_kernel(SDPBackend.MATH):
        result = TASKS[task["what"]](model, images, labels, task)
    result["seconds"] = clock() - started
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def _our_lambda_max(model: nn.Module, x: Tensor, y: Tensor, task: dict[str, Any]) -> dict[str, Any]:
    ends = estimate_extremal_eigenvalues(
        HessianOperator(model, F.cross_entropy, [(x, y)]),
        seed=task["seed"],
        ends="largest",
        tolerance=task.get("tolerance", 1e-3),
        max_matvecs=200,
    )
    return {"value": ends.lambda_max, "matvecs": ends.matvecs}


def _our_trace(model: nn.Module, x: Tensor, y: Tensor, task: dict[str, Any]) -> dict[str, Any]:
    trace = estimate_trace(
        HessianOperator(model, F.cross_entropy, [(x, y)]),
        seed=task["seed"],
        relative_standard_error=task["target"],
        max_matvecs=task.get("max_matvecs", 400),
    )
    return {
        "value": trace.value,
        "matvecs": trace.matvecs,
        "standard_error": trace.standard_error,
    }


def _their_lambda_max(
    model: nn.Module, x: Tensor, y: Tensor, task: dict[str, Any]
) -> dict[str, Any]:
    from pyhessian import hessian

    tool = hessian(model, F.cross_entropy, data=(x, y), cuda=False)
    values, _ = tool.eigenvalues(tol=task.get("tolerance", 1e-3), maxIter=200)
    return {"value": values[0]}


def _their_trace(model: nn.Module, x: Tensor, y: Tensor, task: dict[str, Any]) -> dict[str, Any]:
    from pyhessian import hessian

    tool = hessian(model, F.cross_entropy, data=(x, y), cuda=False)
    probes = tool.trace(maxIter=task["probes"], tol=-1.0)
    return {"value": float(np.mean(probes)), "spread": float(np.std(probes, ddof=1))}


TASKS = {
    "our lambda_max": _our_lambda_max,
    "our trace": _our_trace,
    "their lambda_max": _their_lambda_max,
    "their trace": _their_trace,
}


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return result


def compare_lambda_max(base: dict[str, Any], repeats: int) -> dict[str, float]:
    """Measure the largest eigenvalue by both tools in turn; the true one by a long run."""
    exact = run({**base, "what": "our lambda_max", "seed": 99, "tolerance": 1e-7})["value"]
    ours, theirs, finer = [], [], []
    for seed in range(repeats):
        ours.append(run({**base, "what": "our lambda_max", "seed": seed}))
        theirs.append(run({**base, "what": "their lambda_max", "seed": seed}))
        # It stops when two steps differ by less, so its error is larger than its tolerance.
        finer.append(run({**base, "what": "their lambda_max", "seed": seed, "tolerance": 1e-4}))
    return {
        "lambda_max": exact,
        "our error": max(abs(r["value"] / exact - 1) for r in ours),
        "their error": max(abs(r["value"] / exact - 1) for r in theirs),
        "their error, tolerance 1e-4": max(abs(r["value"] / exact - 1) for r in finer),
        "our products": float(np.median([r["matvecs"] for r in ours])),
        "our seconds": (own := float(np.median([r["seconds"] for r in ours]))),
        "their seconds": (other := float(np.median([r["seconds"] for r in theirs]))),
        "ratio": own / other,
        "their seconds, tolerance 1e-4": (other := float(np.median([r["seconds"] for r in finer]))),
        "ratio, tolerance 1e-4": own / other,
        "our peak MiB": max(r["peak_mib"] for r in ours),
        "their peak MiB": max(r["peak_mib"] for r in theirs),
    }


def compare_trace(
    base: dict[str, Any], repeats: int, probes: int, products: int
) -> dict[str, float]:
    """Measure the trace by both tools; the true one by a run of so many products."""
    long_run = run(
        {**base, "what": "our trace", "seed": 99, "target": 0.004, "max_matvecs": products}
    )
    truth = long_run["value"]
    traces = [
        run({**base, "what": "our trace", "seed": seed, "target": 0.02}) for seed in range(repeats)
    ]
    hutchinson = run({**base, "what": "their trace", "seed": 0, "probes": probes})
    rmse = math.sqrt(np.mean([(t["value"] / truth - 1) ** 2 for t in traces]))
    # Hutchinson's error falls as one over the root of its probes.
    needed = (hutchinson["spread"] / truth / rmse) ** 2
    return {
        "trace": truth,
        "its standard error": long_run["standard_error"],
        "our rmse": rmse,
        "our products": float(np.median([t["matvecs"] for t in traces])),
        "their probes needed": needed,
        "our seconds": (own := float(np.median([t["seconds"] for t in traces]))),
        "their seconds": (other := hutchinson["seconds"] / probes * needed),
        "ratio": own / other,
        "our peak MiB": max(r["peak_mib"] for r in traces),
        "their peak MiB": hutchinson["peak_mib"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quantities", nargs="+", default=["lambda_max", "trace"])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--probes", type=int, default=30, help="of PyHessian's trace, timed")
    parser.add_argument("--products", type=int, default=300, help="of the trace taken for true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(measure(json.loads(arguments.task))))
        return
    if arguments.data is None:
        parser.error("--data is required")
    for name in arguments.networks:
        with tempfile.NamedTemporaryFile(suffix=".pt") as weights:
            torch.save(train(name, arguments.data, arguments.epochs).state_dict(), weights.name)
            for images in arguments.images:
                base = {
                    "network": name,
                    "weights": weights.name,
                    "data": str(arguments.data),
                    "images": images,
                    "threads": arguments.threads,
                }
                rows = {}
                if "lambda_max" in arguments.quantities:
                    rows |= {"lambda_max": compare_lambda_max(base, arguments.repeats)}
                if "trace" in arguments.quantities:
                    counts = arguments.repeats, arguments.probes, arguments.products
                    rows |= {"trace": compare_trace(base, *counts)}
                for quantity, row in rows.items():
                    print(f"\n{name}, {images} images, {quantity}\n", flush=True)
                    for key, value in row.items():
                        print(f"| {key} | {value:.4g} |", flush=True)


if __name__ == "__main__":
    main()
