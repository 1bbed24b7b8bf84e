"""Trials whose process is killed with SIGKILL at random moments, against ones that never stop."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from workers.seeding import make_deterministic
from workers.spec import TrialConfig, validate_spec
from workers.training import run_trial
from workers.trial_data import DeviceData, load_trial_data

EPOCHS = 12
SPEC = validate_spec(
    {
        "name": "digits",
        "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
        "ood": {"corruptions": ["fog"], "severities": [3], "images": 20},
        "model": {"name": "vit-small", "kwargs": {"dim": 16, "depth": 1, "heads": 2}},
        "optimizers": ["sa-sam", "adam"],
        "search": {"learning_rate": [0.01], "weight_decay": [1e-4]},
        "training": {"epochs": EPOCHS, "batch_size": 64, "augmentation": "crop-flip"},
        "curvature": {"images": 20, "max_matvecs": 5},
    }
)

TEXT = validate_spec(
    {
        "name": "text",
        "dataset": {"name": "zipf-grammar", "kwargs": {"context": 8, "train": 256, "test": 40}},
        "ood": {"severities": [3], "images": 20},
        "model": {"name": "gpt", "kwargs": {"width": 16, "depth": 1, "heads": 2, "dropout": 0.1}},
        "optimizers": ["sa-sam", "adam"],
        "search": {"learning_rate": [0.01], "weight_decay": [1e-4]},
        "training": {"epochs": EPOCHS, "batch_size": 32},
        "curvature": {"images": 10, "max_matvecs": 5, "at_best": True},
    }
)


def train(config: TrialConfig, folder: Path, checkpoint: Path, results: Connection) -> None:
    """What a trial's process does: a fresh one each time, that knows the checkpoint alone."""
    make_deterministic()
    torch.set_num_threads(1)
    data = load_trial_data(config.dataset, config.ood, data_dir=folder, cache_dir=folder / "cache")
    for record in run_trial(
        config, DeviceData(data, torch.device("cpu")), checkpoint=checkpoint, save_seconds=0
    ):
        record.pop("images_per_second")
        results.send(record)


def run(context, config, folder, checkpoint, kill_after):
    """Records of a process that is killed once it has sent so many; all if it sends fewer."""
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(config, folder, checkpoint, sending))
    process.start()
    sending.close()
    records = []
    try:
        while kill_after is None or len(records) < kill_after:
            records.append(receiving.recv())
    except EOFError:
        process.join()
        assert process.exitcode == 0
    else:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    return records


@pytest.fixture(scope="module")
def context():
    """Processes that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["workers.training"])
    return context


@pytest.mark.parametrize(
    "config",
    [*SPEC.trials, *TEXT.trials],
    ids=lambda config: f"{config.dataset.name}-{config.optimizer.name}",
)
def test_killed_at_random_trial_ends_bit_identical(context, tmp_path, config):
    whole = run(context, config, tmp_path, tmp_path / "whole.pt", None)
    assert [record["epoch"] for record in whole] == list(range(1, EPOCHS + 1))
    moments = random.Random(config.key)  # noqa: S311 - when to kill is no secret
    seen = {}
    kills = 0
    while "outcome" not in seen.get(EPOCHS, {}):
        kill_after = moments.randint(1, 6) if kills < 4 else None
        for record in run(context, config, tmp_path, tmp_path / "killed.pt", kill_after):
            assert seen.setdefault(record["epoch"], record) == record
        kills += 1
    assert kills > 2
    assert list(seen.values()) == whole
