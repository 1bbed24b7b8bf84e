"""What a step costs beyond its gradient evaluations, beside two other SAMs.

Every contender takes its steps on the same network and mini-batch, in one process, in turns, so
that a slow second of the machine hits all of them; medians are over the rounds. What is measured
is the processor time of a single thread, which other programs disturb least. Run

    python tests/benchmarks/bench_optimizers.py --output docs/benchmarks-optimizers.md
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytorch_optimizer
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from sasam import SAM, SASAM, SASGD

LR = 1e-3
BATCH = 64
LIMITS = {"VGG-11, quarter width": 1.05, "ViT, 200k weights": 1.10}


class TwoPhaseSAM:
    """The plain loop over parameters of the most used public SAM, written anew from its rule."""

    def __init__(self, params: list[nn.Parameter], lr: float, rho: float, momentum: float) -> None:
        self.params, self.rho = params, rho
        self.base = torch.optim.SGD(params, lr=lr, momentum=momentum)
        self.saved: list[Tensor] = []

    @torch.no_grad()
    def climb(self) -> None:
        norm = torch.stack([p.grad.norm() for p in self.params]).norm()
        scale = self.rho / (norm + 1e-12)
        self.saved = [p.clone() for p in self.params]
        for p in self.params:
            p.add_(p.grad * scale)

    @torch.no_grad()
    def descend(self) -> None:
        for p, w in zip(self.params, self.saved, strict=True):
            p.data = w
        self.base.step()


class VisionTransformer(nn.Module):
    """Patches of 4 pixels, width 64, 6 blocks: 208,714 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 4, stride=4)
        self.positions = nn.Parameter(torch.randn(1, 64, 64) * 0.02)
        block = nn.TransformerEncoderLayer(
            64, 4, 128, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 6, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.blocks(tokens).mean(1))


def vgg11_quarter() -> nn.Sequential:
    """VGG-11 with BatchNorm and a quarter of the channels."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if width == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [
            nn.Conv2d(channels, width // 4, 3, padding=1),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(),
        ]
        channels = width // 4
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))


class Operators(TorchDispatchMode):
    """Counts dispatched operators outside the closure."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.paused = 0, False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not self.paused
        return func(*args, **(kwargs or {}))


@dataclass
class Contender:
    """A way to spend some gradient evaluations; `step` gets a closure."""

    name: str
    evaluations: int
    model: nn.Module
    step: Callable[[Callable[[], Tensor]], object]
    seconds: list[float] = field(default_factory=list)
    seconds_beyond: list[float] = field(default_factory=list)
    seconds_in_closure: float = 0.0

    def closure(self, images: Tensor, labels: Tensor, operators: Operators) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            operators.paused = True
            start = time.process_time()
            self.model.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            self.seconds_in_closure += time.process_time() - start
            operators.paused = False
            return loss

        return closure


def contenders(network: nn.Module) -> list[Contender]:
    def evaluations(model: nn.Module, times: int) -> Contender:
        def step(closure: Callable[[], Tensor]) -> None:
            for _ in range(times):
                closure()

        return Contender(f"{times} gradient evaluations alone", times, model, step)

    def two_phase(model: nn.Module) -> Contender:
        sam = TwoPhaseSAM(list(model.parameters()), LR, LR**0.5, 0.9)

        def step(closure: Callable[[], Tensor]) -> None:
            closure()
            sam.climb()
            closure()
            sam.descend()

        return Contender("SAM after davda54 (momentum 0.9)", 2, model, step)

    def packaged(model: nn.Module) -> Contender:
        sam = pytorch_optimizer.SAM(
            model.parameters(), torch.optim.SGD, rho=LR**0.5, lr=LR, momentum=0.9
        )

        def step(closure: Callable[[], Tensor]) -> None:
            closure()
            sam.step(closure)

        return Contender("SAM of pytorch_optimizer (momentum 0.9)", 2, model, step)

    def ours(
        model: nn.Module, name: str, cls: type, times: int, guard: bool = True, **options: float
    ) -> Contender:
        guarded = model if guard else None
        optimizer = cls(model.parameters(), lr=LR, model=guarded, **options)
        return Contender(name, times, model, optimizer.step)

    def fresh() -> nn.Module:
        return copy.deepcopy(network)

    return [
        evaluations(fresh(), 2),
        evaluations(fresh(), 3),
        two_phase(fresh()),
        packaged(fresh()),
        ours(fresh(), "**SAM (momentum 0.9)**", SAM, 2, momentum=0.9),
        ours(fresh(), "**SAM (momentum 0.9)**, no `model=`", SAM, 2, guard=False, momentum=0.9),
        ours(fresh(), "**SAM**", SAM, 2),
        # The bound keeps the weights of all contenders alike, whatever the labels are.
        ours(fresh(), "**SA-SGD**", SASGD, 2, max_lr=LR),
        ours(fresh(), "**SA-SAM**", SASAM, 3, max_lr=LR),
    ]


def measure(network: nn.Module, rounds: int) -> tuple[list[Contender], list[int]]:
    torch.manual_seed(0)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    field_ = contenders(network)
    operators = Operators()
    counts = []
    for contender in field_:
        closure = contender.closure(images, labels, operators)
        for _ in range(2):
            contender.step(closure)
        operators.count = 0
        with operators:
            contender.step(closure)
        counts.append(operators.count)
    for turn in range(rounds):
        for index in range(len(field_)):
            contender = field_[(index + turn) % len(field_)]
            closure = contender.closure(images, labels, operators)
            contender.seconds_in_closure = 0.0
            start = time.process_time()
            contender.step(closure)
            contender.seconds.append(time.process_time() - start)
            beyond = contender.seconds[-1] - contender.seconds_in_closure
            contender.seconds_beyond.append(beyond)
    return field_, counts


def table(name: str, network: nn.Module, rounds: int) -> list[str]:
    field_, counts = measure(network, rounds)
    alone = {c.evaluations: c.seconds for c in field_[:2]}
    weights = sum(p.numel() for p in network.parameters())
    tensors = len(list(network.parameters()))
    lines = [
        f"## {name}",
        "",
        f"{weights:,} weights in {tensors} tensors, batch {BATCH}, limit {LIMITS[name]:.2f}.",
        "",
        "| step | median ms | over its gradients | ms beyond | operators beyond |",
        "|---|---:|---:|---:|---:|",
    ]
    for contender, count in zip(field_, counts, strict=True):
        pairs = zip(contender.seconds, alone[contender.evaluations], strict=True)
        ratio = statistics.median(own / bare for own, bare in pairs)
        median = 1e3 * statistics.median(contender.seconds)
        beyond = 1e3 * statistics.median(contender.seconds_beyond)
        row = f"{contender.name} | {median:.1f} | {ratio:.3f} | {beyond:.2f} | {count}"
        lines.append(f"| {row} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    networks = zip(LIMITS, (vgg11_quarter(), VisionTransformer()), strict=True)
    lines = [
        "# The cost of a step",
        "",
        "Steps beside each other in one process, in turns; medians over "
        f"{arguments.rounds} rounds, the ratio to the gradient evaluations alone being the median "
        "of each round's. "
        f"torch {torch.__version__}, {platform.machine()} CPU, processor time of one thread. "
        "Milliseconds and operators beyond are those outside the closure; operators are counted by "
        "a `TorchDispatchMode`, and those of this package (bold) do not depend on the number of "
        "tensors. It also keeps BatchNorm statistics and random masks right, which the others "
        "leave to the caller. Written by `python tests/benchmarks/bench_optimizers.py`.",
        "",
    ]
    for name, network in networks:
        lines += table(name, network, arguments.rounds)
    text = "\n".join(lines)
    sys.stdout.write(text + "\n")
    if arguments.output is not None:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
