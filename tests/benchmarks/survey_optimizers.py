"""Which optimizers of torch, timm and pytorch-optimizer can be swept, by their conformance check.

    python tests/benchmarks/survey_optimizers.py > docs/optimizers.md

Every optimizer makes two steps on a mini-batch of digits with a small convolutional network, as
``sasam optimizers check`` does, in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

import torch

from workers.catalog import optimizers
from workers.optimizer_families import member_names
from workers.training.check_optimizer import check_on_digits
from workers.training.conformance import Conformance

FAMILIES = ("torch", "timm", "pytorch-optimizer")
_PRELOADED = [
    "workers.training.check_optimizer",
    "sklearn.datasets",
    "timm.optim",
    "pytorch_optimizer",
]

_HEADER = """# Optimizers

A specification names an optimizer by its name, or by its library and its name there:

```yaml
optimizers:
  - adamw
  - {name: torch:RMSprop, kwargs: {momentum: 0.9}}
  - {name: asam, rho: 0.5, base: {name: adamw, betas: [0.9, 0.95]}}
```

`sasam optimizers list` prints the built-in ones, `sasam optimizers check NAME` checks one. An
optimizer that is not built in is checked the same way by the sweep's driver, on the sweep's own
network and before any trial starts: it makes two steps, and the second one, repeated from the saved
state, must be equal bit by bit.

- **Gradients**: calls of the closure per step, each a forward and a backward pass. Summaries at
  equal compute count them.
- **Weight decay**: `coupled` adds lambda w to the gradient; `decoupled` shrinks the weights on its
  own, so that the same lambda is another penalty. Some libraries leave biases and normalisation
  layers out; here that is a choice of the specification, `exempt_vectors: true`, and the kind is
  then `exempting`. A trial's run in MLflow has the kind as the tag `sasam.weight_decay` where it is
  known beforehand; the sweep's run has the findings on each optimizer as `sasam.optimizer.<n>`.
- **Learning rate**: the step size; the initial step size of a method that adapts it; or a
  multiplier of an estimated step size, to be searched around 1. A schedule multiplies the rate of
  each parameter group, so that groups with different rates keep their ratio.
- **Schedule-Free** methods train other weights than those to evaluate. Validation, curvature, the
  corrupted test set and the weights that are kept are the averaged ones, with the statistics of
  BatchNorm measured again at them (50 mini-batches, as their authors advise).
- **fp16** works with all, except those that differentiate gradients (AdaHessian, SophiaH).

## Built in

| name | title | gradients | learning rate | decay | default rate | default decay | summary |
|---|---|---:|---|---|---:|---:|---|"""

_LIBRARIES = """
SAM's line (`asam`, `gsam`, `friendly-sam`, `looksam`, `sam-on`, and `sam` with `base`) gives its
gradient to a base optimizer, SGD with momentum 0.9 unless `base` says otherwise, and has its base's
kind of weight decay. Muon takes the weights between the first and the last layer, convolutions
flattened; AdamW takes the rest at the same learning rate.

## Libraries

What `python tests/benchmarks/survey_optimizers.py` found with torch {torch}, timm {timm} and
pytorch-optimizer {pytorch_optimizer} on a CPU, on digits with `cnn-tiny`, at the default learning
rate and options: {passed} of {total} optimizers pass. Those that wrap another optimizer or need
arguments of their own are refused with the reason; `kwargs` may help.

| optimizer | gradients | weight decay | default rate | default decay | result |
|---|---:|---|---:|---:|---|"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="optimizers such as timm:lion; all by default")
    parser.add_argument("--seconds", type=float, default=60, help="limit for each optimizer")
    arguments = parser.parse_args()
    names = arguments.names or [
        f"{family}:{member}" for family in FAMILIES for member in member_names(family)
    ]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)  # imports once what every process needs
    rows = [_survey(context, name, arguments.seconds) for name in names]
    print(_HEADER)
    for entry in optimizers.entries().values():
        if not entry.name.endswith(":"):
            print(_built_in_row(entry.name, entry.title, entry.summary, entry.facts))
    versions = {name: version(name.replace("_", "-")) for name in ("timm", "pytorch_optimizer")}
    passed = sum("| passes" in row for row in rows)
    print(
        _LIBRARIES.format(torch=torch.__version__, passed=passed, total=len(rows), **versions),
        *rows,
        sep="\n",
    )


def _built_in_row(name: str, title: str, summary: str, facts: Any) -> str:
    role = str(facts["learning_rate_role"]).replace("_", " ")
    return (
        f"| `{name}` | {title} | {facts['gradient_evaluations_per_step']:g} | {role} "
        f"| {facts['weight_decay']} | {facts['default_learning_rate']:g} "
        f"| {facts['default_weight_decay']:g} | {summary} |"
    )


def _survey(context: Any, name: str, seconds: float) -> str:
    """The row of one optimizer, from a process that is ended after some seconds."""
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_row, args=(name, sending))
    process.start()
    sending.close()
    row = f"| `{name}` | | | | | takes more than {seconds:g} s |"
    try:
        if receiving.poll(seconds):
            row = str(receiving.recv())
    except EOFError:
        process.join()
        row = f"| `{name}` | | | | | ends its process with exit code {process.exitcode} |"
    process.kill()
    process.join()
    return row


def _send_row(name: str, results: Connection) -> None:
    """Check an optimizer in this process, again with the channels first if that may help."""
    torch.set_num_threads(1)
    try:
        try:
            row = _row(name, check_on_digits(name), "passes")
        except ValueError as error:
            if "channels_last" not in str(error):
                raise
            found = check_on_digits(name, channels_last=False)
            row = _row(name, found, "passes with `training.channels_last: false`")
    except ValueError as error:
        reason = " ".join(str(error).split()).replace("|", "/").removeprefix(f"{name} ")
        row = f"| `{name}` | | | | | refused: {reason[:200]} |"
    results.send(row)


def _row(name: str, found: Conformance, result: str) -> str:
    rate, decay = found.default_learning_rate, found.default_weight_decay
    kind = found.weight_decay or ("none" if decay is None else "unknown")
    defaults = ["" if value is None else f"{value:g}" for value in (rate, decay)]
    cells = [f"`{name}`", f"{found.gradient_evaluations:g}", kind, *defaults, result]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
