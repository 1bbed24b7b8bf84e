"""Kill what a sweep depends on, at random moments, and hold what is left against a calm run.

    python tests/chaos --rounds 20 --seed 0

One `sasam up` and one more Ray node run all sweeps, each of the same 24 trials. A round breaks one
or two things and waits until its sweep has ended. Then all 24 trials must be completed, none
twice, no MLflow run left open, and every final metric equal, bit for bit, to the calm run's.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from faults import FAULTS
from stack import Stack
from sweep import ENDED, SWEEP_SECONDS, TRIALS, calm, ended_trials, look, submit, wait
from verdict import Verdict, judge


@dataclass
class Round:
    """What was broken, when, and what came of it."""

    number: int
    faults: list[str]
    moments: list[float]
    """Seconds after the submission."""
    seconds: float
    """From the submission to the end of the sweep."""
    recovery: float
    """Seconds from the last fault to the next result."""
    verdict: Verdict


def disturbed(
    stack: Stack,
    number: int,
    names: list[str],
    epochs: int,
    calm_seconds: float,
    chance: random.Random,
) -> tuple[str, Round]:
    """Run the sweep and break things; returns its id and the round without a verdict."""
    started = time.monotonic()
    sweep_id = submit(stack, epochs)
    moments = sorted(chance.uniform(0, 0.9 * calm_seconds) for _ in names)
    happened, after = [], []
    for name, moment in zip(names, moments, strict=True):
        time.sleep(max(0.0, started + moment - time.monotonic()))
        while not FAULTS[name](stack, chance):  # what it breaks is not there yet
            sweep = look(stack, sweep_id)
            if sweep is not None and sweep.state in ENDED:
                break
            time.sleep(0.1)
        else:
            happened.append(name)
            after.append(round(time.monotonic() - started, 1))
    last = time.monotonic()
    before = ended_trials(stack, sweep_id)
    while before < TRIALS and ended_trials(stack, sweep_id) == before:
        if time.monotonic() - last > SWEEP_SECONDS:
            break
        time.sleep(0.1)
    recovery = time.monotonic() - last
    wait(stack, sweep_id)
    seconds = time.monotonic() - started
    return sweep_id, Round(number, happened, after, seconds, recovery, Verdict())


def plan(rounds: int, names: list[str], chance: random.Random) -> list[list[str]]:
    """Which faults each round has: every one in turn, and sometimes another one with it."""
    order = chance.sample(names, len(names))
    firsts = islice(cycle(order), rounds)
    return [
        [first, *chance.sample(names, 1 if len(names) > 1 and chance.random() < 0.4 else 0)]
        for first in firsts
    ]


def main() -> int:
    """Run the rounds; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--epochs", type=int, default=8, help="of each trial")
    parser.add_argument("--minutes", type=float, default=60, help="start no round after these")
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # leave nothing behind
    chance = random.Random(arguments.seed)  # noqa: S311 - faults, not secrets
    results: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="sasam-chaos-") as folder:
        stack = Stack(Path(folder) / "home")
        deadline = time.monotonic() + 60 * arguments.minutes
        with stack.running():
            reference, calm_seconds = calm(stack, arguments.epochs)
            print(f"undisturbed: {TRIALS} trials in {calm_seconds:.1f} s\n")
            print(HEADER, flush=True)
            for number, names in enumerate(plan(arguments.rounds, arguments.faults, chance), 1):
                if time.monotonic() > deadline:
                    break
                sweep_id, result = disturbed(
                    stack, number, names, arguments.epochs, calm_seconds, chance
                )
                while not stack.is_ready():
                    time.sleep(0.2)
                service, mlflow = stack.url("service"), stack.url("mlflow")
                result.verdict = judge(service, mlflow, sweep_id, reference)
                results.append(result)
                print(row(result), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    broken = [result.number for result in results if not result.verdict.holds]
    print(f"\n{len(results)} rounds, {len(broken)} with a broken promise {broken}")
    return 1 if broken or not results else 0


HEADER = (
    "| round | killed | at s | recovered after s | whole s | lost | duplicated | differing | |\n"
    "|---:|---|---|---:|---:|---:|---:|---:|---|"
)


def row(result: Round) -> str:
    """A line of the table."""
    verdict = result.verdict
    cells = (
        str(result.number),
        " + ".join(result.faults) or "nothing",
        ", ".join(f"{moment:.1f}" for moment in result.moments),
        f"{result.recovery:.1f}",
        f"{result.seconds:.1f}",
        str(verdict.lost),
        str(verdict.duplicated),
        str(len(verdict.differing)),
        "holds" if verdict.holds else f"BROKEN {verdict}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
