"""What a user would write instead of a sweep: the rivals of `bench_throughput.py`, as programs.

    python tests/benchmarks/throughput_rivals.py {tune,processes,optuna} SPEC --data D --folder F

    tune       a Ray Tune script as its documentation teaches: a function that trains with a
               DataLoader, a fresh process for each trial, MLflow on SQLite by Tune's callback
    processes  this project's training in as many processes as cores, nothing recorded
    optuna     the same function under Optuna's GridSampler, a study on SQLite, one process per
               core by joblib

Each prints the time of the end of every trial, one a line.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import optuna
import ray
import torch
from bench_training import Transformed
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from workers.models import build_model
from workers.optimizers import build_optimizer
from workers.seeding import make_deterministic
from workers.spec import SweepSpec, TrialConfig, load_spec
from workers.training import run_trial
from workers.trial_data import DeviceData, TrialData, load_trial_data

_EVALUATION_BATCH = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rival", choices=["tune", "processes", "optuna"])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for databases and results")
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    run = {"tune": with_tune, "processes": in_processes, "optuna": with_optuna}[arguments.rival]
    run(arguments.spec, arguments.data, arguments.folder, arguments.cpus)
    return 0


def with_tune(path: Path, data: Path, folder: Path, cpus: int) -> None:
    """Ray Tune with a function, a grid, and MLflow's callback."""
    ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    mlflow_uri = f"sqlite:///{folder / 'mlflow.db'}"

    def trainable(config: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(__file__).parent))
        for metrics in plain_training(load_spec(path.read_text()), config["index"], data):
            tune.report(metrics)

    class Printer(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            ended()

    count = load_spec(path.read_text()).trial_count
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": 1 if torch.cuda.is_available() else 0}),
        param_space={"index": tune.grid_search(list(range(count)))},
        run_config=tune.RunConfig(
            storage_path=str(folder / "tune"),
            callbacks=[MLflowLoggerCallback(mlflow_uri, experiment_name="plain"), Printer()],
            verbose=0,
        ),
    ).fit()
    ray.shutdown()


def with_optuna(path: Path, data: Path, folder: Path, cpus: int) -> None:
    """Optuna's grid sampler in one process per core, with a common study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{folder / 'optuna.db'}"
    count = load_spec(path.read_text()).trial_count
    optuna.create_study(storage=storage, study_name="plain", direction="maximize")
    joblib.Parallel(n_jobs=cpus)(
        joblib.delayed(_optuna_process)(storage, path, data, count) for _ in range(cpus)
    )


def _optuna_process(storage: str, path: Path, data: Path, count: int) -> None:
    torch.set_num_threads(1)
    spec = load_spec(path.read_text())

    def objective(trial: optuna.Trial) -> float:
        index = trial.suggest_categorical("index", list(range(count)))
        accuracy = 0.0
        for metrics in plain_training(spec, index, data):
            accuracy = metrics["val_accuracy"]
        ended()
        return accuracy

    sampler = optuna.samplers.GridSampler({"index": list(range(count))}, seed=0)
    optuna.load_study(storage=storage, study_name="plain", sampler=sampler).optimize(objective)


def in_processes(path: Path, data: Path, folder: Path, cpus: int) -> None:
    """The training of this project, without anything around it."""
    spec = load_spec(path.read_text())
    tasks = [(path, data, index) for index in range(spec.trial_count)]
    with multiprocessing.get_context("spawn").Pool(cpus) as pool:
        for _ in pool.imap_unordered(_own_training, tasks):
            ended()


def _own_training(task: tuple[Path, Path, int]) -> None:
    path, data, index = task
    make_deterministic()
    torch.set_num_threads(1)
    trial = _spec(path).trials[index]
    for _ in run_trial(trial, _device_data(path, data)):
        pass


@cache
def _spec(path: Path) -> SweepSpec:
    return load_spec(path.read_text())


@cache
def _device_data(path: Path, data: Path) -> DeviceData:
    return DeviceData(_images(path, data), _device(), _spec(path).dataset.placement)


@cache
def _images(path: Path, data: Path) -> TrialData:
    spec = _spec(path)
    return load_trial_data(spec.dataset, spec.ood, data_dir=data, cache_dir=data / "cache")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plain_training(spec: SweepSpec, index: int, data: Path) -> Any:
    """A tutorial's loop over a DataLoader; yields the metrics of each epoch."""
    trial: TrialConfig = spec.trials[index]
    device = _device()
    images = load_trial_data(trial.dataset, None, data_dir=data, cache_dir=data / "cache")
    channels, size = images.train.images.shape[3], images.train.images.shape[1]
    transform = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * channels, [0.25] * channels)]
    )
    batch_size = trial.training.batch_size
    train = DataLoader(
        Transformed(images.train, transform), batch_size, shuffle=True, drop_last=True
    )
    validation = DataLoader(Transformed(images.validation, transform), _EVALUATION_BATCH)
    torch.manual_seed(trial.seed)
    model = build_model(trial.model, num_classes=10, in_channels=channels, image_size=size)
    model = model.to(device)
    optimizer = build_optimizer(trial, model)
    schedule = [
        0.5 * (1 + float(np.cos(np.pi * epoch / trial.training.epochs)))
        for epoch in range(trial.training.epochs)
    ]
    rates = [group["lr"] for group in optimizer.param_groups]
    for epoch in range(trial.training.epochs):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule[epoch]
        loss = _train(model, optimizer, train, device)
        yield {"train_loss": loss, "val_accuracy": _accuracy(model, validation, device)}


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    device: torch.device,
) -> float:
    """One epoch; the mean loss."""
    model.train()
    total = 0.0
    for batch, labels in loader:
        images, classes = batch.to(device), labels.to(device)

        def closure(images: torch.Tensor = images, classes: torch.Tensor = classes) -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), classes)
            loss.backward()
            return loss

        total += float(optimizer.step(closure))
    return total / len(loader)


@torch.inference_mode()
def _accuracy(model: nn.Module, loader: DataLoader[Any], device: torch.device) -> float:
    model.eval()
    correct = sum(
        int((model(batch.to(device)).argmax(1) == labels.to(device)).sum())
        for batch, labels in loader
    )
    return correct / len(loader.dataset)  # type: ignore[arg-type]  # it has a length


def ended() -> None:
    """Print when a trial ended."""
    print(time.time(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
