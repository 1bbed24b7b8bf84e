"""Whether trials of one network train faster together than one after another.

    python tests/benchmarks/bench_arrays.py --output docs/benchmarks.md

Together means: weights stacked along a new first axis, and one vectorised forward and backward pass
(`torch.func.vmap`) for all of them. Alone means: a pass per network. Both compute the gradients of
the same networks on the same mini-batches, in turns, on one thread or on the GPU; optimizers are
left out, because they would step trial by trial in either case. Writes a section of the page.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from bench_step import WORKLOADS, Workload, in_turns
from page import machine, write_section
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

HEADING = "## Trials trained together"
ABOUT = (
    "How many times as fast the gradients of several networks of one kind are computed together"
    " (`torch.func.vmap` over stacked weights) as one after another. A sweep's process trains one"
    " trial after another; the product has no trial arrays, because they do not win on CPUs: what"
    " the table shows is the gain for a part of a trial, before measurements and optimizer steps."
)
COUNTS = (2, 4, 8, 16)
TOLERANCE = 1e-3
WORKLOADS_TOGETHER = [
    WORKLOADS[0],
    replace(WORKLOADS[0], name="cnn-tiny, digits, batches of 512", batch_size=512),
    *WORKLOADS[1:3],
]


def main() -> None:
    """Measure, and write the section of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lines = [
        *(HEADING, ""),
        f"Made by `tests/benchmarks/bench_arrays.py`: {machine()}, torch {torch.__version__},",
        f"{device}, one thread, medians of {given.rounds} rounds. {ABOUT}",
        "",
        f"| network | ms alone | {' | '.join(f'{count} together' for count in COUNTS)} |",
        "|---|---:" + "|---:" * len(COUNTS) + "|",
    ]
    for workload in WORKLOADS_TOGETHER:
        gains, alone = [], 0.0
        for count in COUNTS:
            contenders = passes(workload, count, device)
            times = in_turns(contenders, given.rounds, time.perf_counter)
            alone = 1e3 * times["alone"] / count
            gains.append(f"{times['alone'] / times['together']:.2f}")
        lines.append(f"| {workload.name} | {alone:.2f} | {' | '.join(gains)} |")
        print(lines[-1], flush=True)
    write_section(given.output, HEADING, "\n".join(lines) + "\n")


def passes(workload: Workload, count: int, device: torch.device) -> dict[str, Callable[[], object]]:
    """Both ways to compute the gradients of networks with different weights and mini-batches.

    Raises:
        RuntimeError: Their gradients differ by more than rounding.
    """
    networks = [workload.build().to(device).train() for _ in range(count)]
    for number, network in enumerate(networks):
        torch.manual_seed(number)
        for weights in network.parameters():
            nn.init.normal_(weights, std=0.05)
    batches = [workload.batch(workload.batch_size) for _ in range(count)]
    inputs, labels = (torch.stack(parts).to(device) for parts in zip(*batches, strict=True))
    weights, buffers = stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0])

    def loss(weights: object, buffers: object, inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(skeleton, (weights, buffers), (inputs,)), labels)

    losses = vmap(loss)

    def alone() -> list[Tensor]:
        gradients = [
            torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()))
            for network, x, y in zip(networks, inputs, labels, strict=True)
        ]
        wait(device)
        return [torch.stack(parts) for parts in zip(*gradients, strict=True)]

    def together() -> list[Tensor]:
        total = losses(weights, buffers, inputs, labels).sum()
        gradients = list(torch.autograd.grad(total, list(weights.values())))
        wait(device)
        return gradients

    for a, b in zip(alone(), together(), strict=True):
        if not torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * float(a.abs().max())):
            raise RuntimeError(f"{workload.name}: gradients differ by {float((a - b).abs().max())}")
    return {"alone": alone, "together": together}


def wait(device: torch.device) -> None:
    """Wait until the device has computed what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
