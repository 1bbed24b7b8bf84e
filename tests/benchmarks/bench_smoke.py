"""Refuse a change that makes what a sweep repeats twice as slow, in a minute.

    python tests/benchmarks/bench_smoke.py [--record]

Each cost is a ratio of two times that are measured in turns on one thread, so that neither the
machine nor its load matters much. A ratio that is more than twice the recorded one fails;
``--record`` writes ``ratios.json`` anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from bench_step import WORKLOADS, in_turns, products_of, training
from bench_training import digits, own_epoch, plain_epoch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from sasam import SASAM
from service.sensitivity import summarize
from tests.support.made_up_trials import random_table
from workers.spec import validate_spec

RATIOS = Path(__file__).with_name("ratios.json")
WORST = 2.0
"""Times the recorded ratio."""
ROUNDS = 7
STEPS = 5


def main() -> int:
    """Measure, and record or compare; the exit status is 1 if something became slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the ratios anew")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: round(ratio(), 3) for name, ratio in MEASURED.items()}
    if arguments.record:
        RATIOS.write_text(json.dumps(found, indent=1) + "\n")
    recorded: dict[str, float] = json.loads(RATIOS.read_text())
    for name, value in found.items():
        verdict = "too slow" if value > WORST * recorded[name] else "ok"
        print(f"{name:58}{value:9.2f}{recorded[name]:9.2f}  {verdict}")
    return int(any(value > WORST * recorded[name] for name, value in found.items()))


def ratio(measured: Callable[[], object], reference: Callable[[], object]) -> float:
    """Processor time of one function over that of another."""
    times = in_turns({"measured": measured, "reference": reference}, ROUNDS, time.process_time)
    return times["measured"] / times["reference"]


def epoch() -> float:
    """An epoch of a trial over one of a tutorial's loop."""
    images, cpu = digits(), torch.device("cpu")
    own = own_epoch(images, "cnn-tiny", 64, "crop", cpu)
    return ratio(own, plain_epoch(images, "cnn-tiny", 64, "crop", cpu))


def sa_sam_step() -> float:
    """A step of SA-SAM, which has three gradients, over a step of SGD, which has one."""
    workload = WORKLOADS[0]
    model = workload.build().train()
    inputs, labels = workload.batch(workload.batch_size)
    optimizer = SASAM(model.parameters(), lr=0.01)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        return loss

    def steps() -> None:
        for _ in range(STEPS):
            optimizer.step(closure)

    return ratio(steps, training(workload))


def hessian_product() -> float:
    """A Hessian-vector product over a gradient of the same examples."""
    times: Mapping[str, float] = products_of(WORKLOADS[0], ROUNDS)
    return times["product"] / times["gradient"]


def plain_python() -> int:
    """A fixed amount of work for the interpreter, whatever instructions the processor has."""
    texts = [str(number) for number in range(100_000)]
    return sum(len(text) for text in sorted(texts))


def summary() -> float:
    """The summary of a sweep of 240 trials over sorting texts."""
    table = random_table()
    return ratio(lambda: summarize(table), plain_python)


def expansion() -> float:
    """Validating a specification of 10,000 trials and naming them over sorting texts."""
    specification = {
        "name": "bench",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sa-sam", "sam", "sa-sgd", "msgd", "adam"],
        "search": {
            "learning_rate": [10.0 ** (-4 + i / 10) for i in range(20)],
            "weight_decay": [0.0, *(10.0 ** (-6 + i / 10) for i in range(19))],
        },
        "seeds": [0, 1, 2, 3, 4],
    }
    return ratio(lambda: [t.key for t in validate_spec(specification).trials], plain_python)


MEASURED: dict[str, Callable[[], float]] = {
    "epoch of a trial / tutorial's loop": epoch,
    "step of SA-SAM / step of SGD": sa_sam_step,
    "Hessian-vector product / gradient": hessian_product,
    "summary / sort of 100,000 texts": summary,
    "10,000 trials of a specification / sort of 100,000 texts": expansion,
}


if __name__ == "__main__":
    sys.exit(main())
