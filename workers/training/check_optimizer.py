"""Checks an optimizer by name on digits: ``python -m workers.training.check_optimizer NAME``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

from workers.models import build_model, uses_channels_last
from workers.optimizer_families import constructor_of_section, default_configuration
from workers.spec import SpecError, SweepSpec, validate_spec
from workers.training.conformance import Conformance, check_conformance
from workers.trial_data import load_trial_data

__all__ = ["check_on_digits", "main"]

_RATE = 1e-3
"""Learning rate of constructors without a default."""


def check_on_digits(
    optimizer: object, model: str = "cnn-tiny", *, channels_last: bool = True
) -> Conformance:
    """Check an optimizer on a mini-batch of digits, at its default learning rate and decay.

    Args:
        optimizer: An entry of ``optimizers`` in a specification: a name, or a mapping.
        model: Name of the network.
        channels_last: As ``training.channels_last``.

    Raises:
        SpecError: The entry is invalid, or there is no such network.
        ValueError: The optimizer cannot be used, with the reason in one line.
    """
    spec = validate_spec(
        {
            "name": "check",
            "dataset": {"name": "digits", "train_size": 100, "test_size": 50},
            "ood": None,
            "curvature": None,
            "model": model,
            "optimizers": [optimizer],
            "training": {"channels_last": channels_last},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        network, images, labels = _problem(spec, Path(folder))
    section = spec.optimizers[0]
    constructor = constructor_of_section(getattr(section, "base", None) or section)
    has_rate = constructor is None or default_configuration(constructor)[0] is not None
    rate = None if has_rate else _RATE
    return check_conformance(section, network, images, labels, lr=rate, weight_decay=None)


def main() -> int:
    """Print what the check finds in one line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m workers.training.check_optimizer", description=__doc__
    )
    parser.add_argument("name", help="name of an optimizer, as in a specification")
    parser.add_argument("--options", type=json.loads, default={}, help="its options, as JSON")
    parser.add_argument("--model", default="cnn-tiny", help="network to check it on")
    arguments = parser.parse_args()
    entry = {"name": arguments.name, **arguments.options}
    try:
        found = check_on_digits(entry, arguments.model)
    except SpecError as error:
        parser.exit(2, f"error: {error}\n")
    except ValueError as error:
        parser.exit(1, f"{arguments.name}: refused: {error}\n")
    print(f"{arguments.name}: {found}")  # noqa: T201 - the program's output
    return 0


def _problem(spec: SweepSpec, folder: Path) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network of a sweep, and a mini-batch of its data."""
    data = load_trial_data(spec.dataset, None, data_dir=folder, cache_dir=folder)
    torch.manual_seed(0)
    network = build_model(spec.model, files=spec.files, **data.inputs.network_arguments)
    device = torch.device("cpu")
    channels_last = uses_channels_last(spec.training, network, device)
    normalise = data.inputs.preparation(device, channels_last=channels_last)
    images = normalise(torch.from_numpy(data.train.inputs[:32].copy()))
    labels = torch.from_numpy(data.train.labels[:32].copy())
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network, images, labels


if __name__ == "__main__":
    sys.exit(main())
