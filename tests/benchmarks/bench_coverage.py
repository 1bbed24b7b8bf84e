"""Coverage, bias and width of every interval of a summary, on simulated sweeps of known truth.

    python tests/benchmarks/bench_coverage.py --output docs/coverage.md

Grids of 5 learning rates x 3 weight decays, and 7 x 2, learning rates one decade apart; true scores
that are flat, peaked, or mixed (three learning rates that are nearly equal, and a slope); seed
noise of 1 point, independent in every trial or shared: 70 % of its variance an effect of the seed
on all configurations. Scores: accuracy (normal noise), accuracy of which the largest learning rate
always diverges, and a loss (log-normal noise, skewed towards worse). The noise of OOD scores
correlates 0.5 with that of validation scores. Coverage is the share of sweeps whose interval
contains the number computed from the true scores of the configurations that the sweep selects.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from service.sensitivity import statistics
from service.sensitivity.axis_summary import axis_statistics
from service.sensitivity.hyperparameters import Axis
from service.sensitivity.intervals import interval
from service.sensitivity.optimizer_trials import Floats
from service.sensitivity.seed_noise import repeat_sweeps

SIGMA = 0.01
EPSILON = 0.01
CHANCE = 0.1
CORRELATION = 0.5
SHARED = 0.7
SEEDS = (2, 3, 5, 10)
RESPONSES = ("flat", "peaked", "mixed")
SCORES = ("accuracy", "loss", "diverging")
OOD_DROP = 0.2
BATCH = 50
GRIDS = ((5, 3), (7, 2))
DIFFERENCES = {"selected": "difference", "mean": "mean_difference"}

MEASURES = {
    "val": "best validation score",
    "selected": "selected OOD score",
    "difference": "difference of two selected OOD scores",
    "mean": "mean score",
    "mean_difference": "difference of two mean scores",
    "learning_rate.off_by.2": "S(2)",
    "learning_rate.off_by.4": "S(4)",
    "learning_rate.off_by.10": "S(10)",
    "learning_rate.width": "W(1 point), decades",
    "learning_rate.sensitivity": "lr sensitivity",
    "weight_decay.sensitivity": "wd sensitivity",
    "learning_rate.regret": "lr regret",
    "mean_regret": "mean regret",
    "curve": "lr curve, each value",
}
UNSIGNED = ("sensitivity", "regret", "width")


@dataclass
class Tally:
    """Results of one measure over simulated sweeps."""

    covered: list[bool] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    plain_errors: list[float] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def count(self, name: str, points: Floats, truths: Floats, errors: list[Floats]) -> None:
        """Make the interval of every sweep, [B], and compare it with the truth."""
        unsigned = any(part in name for part in UNSIGNED)
        limits = (0.0 if unsigned else -math.inf, math.inf)
        for at, (point, truth) in enumerate(zip(points.tolist(), truths.tolist(), strict=True)):
            found = interval(point, [error[at] for error in errors], limits)
            if found is None or found.estimate is None or math.isnan(truth):
                continue
            self.covered.append(found.low - 1e-12 <= truth <= found.high + 1e-12)
            self.errors.append(found.estimate - truth)
            self.plain_errors.append(point - truth)
            self.widths.append(found.high - found.low)


@dataclass(frozen=True)
class Setting:
    """What is simulated."""

    shape: tuple[int, int]
    score: str
    shared: bool
    response: str
    n_seeds: int

    @property
    def seed(self) -> tuple[int, ...]:
        """Of the random numbers."""
        kinds = (SCORES.index(self.score), RESPONSES.index(self.response))
        return (*self.shape, *kinds, int(self.shared), self.n_seeds)


def true_scores(response: str, shape: tuple[int, int]) -> Floats:
    """Validation scores without noise, one per configuration."""
    rate = np.abs(np.arange(shape[0]) - shape[0] // 2)[:, None]
    decay = np.abs(np.arange(shape[1]) - shape[1] // 2)[None, :]
    surfaces = {
        "flat": np.zeros(shape),
        "peaked": -0.03 * rate**2 - 0.01 * decay,
        "mixed": -0.02 * np.maximum(0, rate - 1) - 0.002 * rate - 0.001 * decay,
    }
    return 0.9 + surfaces[response].ravel()


def simulate(setting: Setting, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Scores of trials, [2, C, S] (validation, OOD), and the true scores, [2, C]."""
    truth = true_scores(setting.response, setting.shape)
    normal = rng.standard_normal((2, truth.size, setting.n_seeds))
    if setting.shared:
        of_seed = rng.standard_normal((2, 1, setting.n_seeds))
        normal = math.sqrt(1 - SHARED) * normal + math.sqrt(SHARED) * of_seed
    normal[1] = CORRELATION * normal[0] + math.sqrt(1 - CORRELATION**2) * normal[1]
    if setting.score == "loss":
        spread = 0.5
        sd = math.sqrt(math.expm1(spread**2) * math.exp(spread**2))
        normal = -(np.exp(spread * normal) - math.exp(spread**2 / 2)) / sd
    means = np.stack([truth, truth - OOD_DROP])
    trials = means[..., None] + SIGMA * normal
    return trials, means


def measure(by: Floats, values: Floats, axes: list[Axis]) -> dict[str, Floats]:
    """The numbers of a summary."""
    return {
        "mean": statistics.known_mean(values),
        "selected": statistics.selected(by, values),
        "mean_regret": statistics.max_minus_mean(values),
        **dict(axis_statistics(by, values, axes, EPSILON)),
        **curve(by, values, axes),
    }


def curve(by: Floats, values: Floats, axes: list[Axis]) -> dict[str, Floats]:
    """Each value of the curve of the learning rate."""
    shape = tuple(map(len, axes))
    lines = (statistics.along(scores, shape, 0) for scores in (by, values))
    points = statistics.selected(*lines)
    return {f"curve.{at}": points[..., at] for at in range(shape[0])}


def batch(
    setting: Setting, size: int, rng: np.random.Generator, n_resamples: int
) -> Iterator[tuple[str, Floats, Floats, list[Floats]]]:
    """Simulated sweeps: name of a measure, observed and true values, [B], and errors, [B, R]."""
    shape = setting.shape
    axes = [
        Axis.of("learning_rate", [10.0 ** (at - 4) for at in range(shape[0])]),
        Axis.of("weight_decay", [0.0, *(10.0 ** (at - 6) for at in range(1, shape[1]))]),
    ]
    silent = np.zeros(math.prod(shape), dtype=bool)
    silent[-shape[1] :] = setting.score == "diverging"
    observed, repeated = [], []
    for _ in range(size):
        trials, means = simulate(setting, rng)
        trials[:, silent] = means[:, silent] = CHANCE
        observed.append(trials.mean(axis=2))
        repeated.append(repeat_sweeps(*trials, silent=silent, rng=rng, n_resamples=n_resamples))
    seen = np.stack(observed, axis=1)
    true = np.broadcast_to(means[:, None], seen.shape)
    surfaces = [
        tuple(
            np.stack([getattr(sweeps[at], name) for sweeps in repeated])
            for name in ("val", "evaluation", "true_val", "true_evaluation")
        )
        for at in range(len(repeated[0]))
    ]
    numbers = partial(measure, axes=axes)
    point, truth = numbers(seen[0], seen[1]), numbers(seen[0], true[1])
    errors = []
    for val, evaluation, _, on in surfaces:
        noisy = numbers(val, evaluation)
        exact = numbers(val, np.broadcast_to(on[:, None], val.shape))
        errors.append({name: noisy[name] - exact[name] for name in noisy})
    for name in point:
        yield name, point[name], truth[name], [error[name] for error in errors]
    yield (
        "val",
        statistics.selected(seen[0], seen[0]),
        statistics.selected(seen[0], true[0]),
        [
            statistics.selected(val, val)
            - statistics.selected(val, np.broadcast_to(on[:, None], val.shape))
            for val, _, on, _ in surfaces
        ],
    )


def tally(setting: Setting, repeats: int, n_resamples: int) -> dict[str, Tally]:
    """Coverage over many sweeps; two in a row are compared as two optimizers."""
    rng = np.random.default_rng(setting.seed)
    tallies: dict[str, Tally] = defaultdict(Tally)
    for _ in range(repeats // BATCH):
        for name, point, truth, errors in batch(setting, BATCH, rng, n_resamples):
            kind = "curve" if name.startswith("curve") else name
            if kind not in MEASURES:
                continue
            tallies[kind].count(kind, point, truth, errors)
            if name in DIFFERENCES:
                half = BATCH // 2
                of = DIFFERENCES[name]
                tallies[of].count(
                    of,
                    point[:half] - point[half:],
                    truth[:half] - truth[half:],
                    [error[:half] - error[half:] for error in errors],
                )
    return tallies


def cell(of: Tally, name: str) -> str:
    """Coverage, bias of the corrected and of the observed number, and median width."""
    if not of.covered:
        return "none"
    points = 1.0 if name.endswith("width") else 100.0
    bias, plain = (points * float(np.mean(e)) for e in (of.errors, of.plain_errors))
    width = points * float(np.median(of.widths))
    return f"{100 * np.mean(of.covered):.0f} {bias:+.2f} ({plain:+.2f}) {width:.1f}"


def settings() -> Iterator[tuple[str, list[Setting]]]:
    """Title of a table and its settings, one per number of seeds."""
    kinds = [(GRIDS[0], score, shared) for score in SCORES for shared in (False, True)]
    kinds.append((GRIDS[1], "accuracy", False))
    for shape, score, shared in kinds:
        noise = "shared" if shared else "independent"
        for response in RESPONSES:
            title = f"{shape[0]} x {shape[1]}, {response}, {score}, {noise} noise"
            yield title, [Setting(shape, score, shared, response, n) for n in SEEDS]


def page(repeats: int, n_resamples: int, shares: dict[str, list[float]], rows: list[str]) -> str:
    """The page with the worst coverage of each measure and the table of every setting."""
    description = (__doc__ or "").split("\n\n", 2)[2].strip()
    error = 100 * math.sqrt(0.95 * 0.05 / repeats)
    lines = [
        "# Coverage of intervals",
        "",
        "Made by `make bench-coverage` (`tests/benchmarks/bench_coverage.py`); what the measures",
        "and intervals are: [measures.md](measures.md).",
        "",
        description,
        "",
        f"{repeats} sweeps per setting (standard error of a coverage of 95 %: {error:.1f}),",
        f"{n_resamples} simulated sweeps per surface.",
        "",
        "## Over all settings below",
        "",
        "Coverage of nominal 95 % intervals in percent.",
        "",
        "| measure | lowest | median |",
        "|---|---|---|",
    ]
    lines += [
        f"| {label} | {100 * min(own):.0f} | {100 * np.median(own):.0f} |"
        for label, own in shares.items()
    ]
    lines += [
        "",
        "## Every setting",
        "",
        "Cells: coverage in percent; bias of the interval's `estimate` (of the observed number)",
        "and median width, in points (of W in decades).",
    ]
    return "\n".join([*lines, *rows, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="a multiple of 50")
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    started = time.perf_counter()
    shares: dict[str, list[float]] = defaultdict(list)
    rows: list[str] = []
    heads = " | ".join(f"{n} seeds" for n in SEEDS)
    for title, columns in settings():
        found = [tally(one, arguments.repeats, arguments.resamples) for one in columns]
        rows += ["", f"### {title}", "", f"| measure | {heads} |", "|---" * (len(SEEDS) + 1) + "|"]
        for name, label in MEASURES.items():
            shares[label] += [float(np.mean(of[name].covered)) for of in found]
            rows.append(f"| {label} | {' | '.join(cell(of[name], name) for of in found)} |")
        text = page(arguments.repeats, arguments.resamples, shares, rows)
        arguments.output.write_text(text)
        print(title, f"{time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
