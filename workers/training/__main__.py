"""Runs one trial of a specification without the service: ``python -m workers.training SPEC``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator
from pathlib import Path

import torch

from workers.seeding import make_deterministic
from workers.spec import SpecError, SweepSpec, load_spec, with_files
from workers.training import EpochRecord, preflight, run_trial
from workers.trial_data import DeviceData, load_trial_data

__all__ = ["main", "run_alone"]


def run_alone(
    spec: SweepSpec,
    index: int,
    *,
    data_dir: Path,
    checkpoint: Path | None = None,
    device: str | None = None,
) -> Generator[EpochRecord]:
    """Check a sweep and run one of its trials in this process.

    Args:
        spec: The sweep.
        index: Position of the trial, from 0.
        data_dir: Folder of the data sets; its folder ``cache`` holds derived images.
        checkpoint: File to resume from and to save to; None saves nothing.
        device: Device in torch's notation; by default a GPU if there is one.

    Raises:
        IndexError: The sweep has no such trial.
        SpecError: The sweep's trials cannot run here.
    """
    if not spec.trials:
        raise IndexError(f"the trials of a {spec.search.type} search are not known before it runs")
    if not 0 <= index < spec.trial_count:
        raise IndexError(f"trial {index} does not exist; allowed: 0 to {spec.trial_count - 1}")
    make_deterministic()
    cache_dir = data_dir / "cache"
    preflight(spec, data_dir=data_dir, cache_dir=cache_dir)
    trial = spec.trials[index]
    images = load_trial_data(
        trial.dataset, trial.ood, data_dir=data_dir, cache_dir=cache_dir, files=trial.files
    )
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    data = DeviceData(images, chosen, trial.dataset.placement)
    yield from run_trial(trial, data, checkpoint=checkpoint)


def main() -> int:
    """Print one line of JSON per epoch; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.training", description=__doc__)
    parser.add_argument("spec", type=Path, help="YAML or JSON file")
    parser.add_argument("--index", type=int, default=0, help="position of the trial, from 0")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--checkpoint", type=Path, help="file to resume from and to save to")
    parser.add_argument("--device", help="such as cpu or cuda:1; by default a GPU if there is one")
    arguments = parser.parse_args()
    try:
        records = run_alone(
            load_spec(with_files(arguments.spec.read_text(), arguments.spec.parent)),
            arguments.index,
            data_dir=arguments.data_dir,
            checkpoint=arguments.checkpoint,
            device=arguments.device,
        )
        for record in records:
            print(json.dumps(record), flush=True)  # noqa: T201 - the program's output
    except (IndexError, OSError, RuntimeError, SpecError) as error:
        parser.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
