"""What a user would write instead of a sweep: the rivals of `bench_throughput.py`, as programs.

    python tests/benchmarks/throughput_rivals.py RIVAL SPECIFICATION --data FOLDER --folder FOLDER

    ray-tune    Ray Tune as its documentation teaches: a function that trains with a DataLoader, a
                fresh process for each trial, and Tune's callback for MLflow on SQLite
    optuna      the same training under Optuna's GridSampler with a study on SQLite, one process
                per core by joblib
    processes   the product's own training in one process per core; nothing is recorded

Prints the position of each trial and the time of its end, one per line. Optuna may run a trial
twice: its processes choose without knowing of each other's choice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
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

from workers.datasets import ImageSet
from workers.models import build_model
from workers.optimizers import build_optimizer
from workers.seeding import make_deterministic
from workers.spec import SweepSpec, load_spec
from workers.training import run_trial
from workers.trial_data import DeviceData, load_trial_data

_EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Job:
    """What each rival is given.

    Args:
        path: File of the specification.
        data: Folder of the data sets.
        folder: Folder for databases and results.
        cpus: Number of trials at once.
    """

    path: Path
    data: Path
    folder: Path
    cpus: int

    @cached_property
    def spec(self) -> SweepSpec:
        """The specification."""
        return load_spec(self.path.read_text())

    @property
    def indices(self) -> list[int]:
        """Positions of the trials."""
        return list(range(self.spec.trial_count))

    @property
    def sqlite(self) -> str:
        """Address of a database."""
        return f"sqlite:///{self.folder / 'rival.db'}"

    @cached_property
    def device_data(self) -> DeviceData:
        """All data of a trial, on the device that trains."""
        dataset, ood = self.spec.dataset, self.spec.ood
        data = load_trial_data(dataset, ood, data_dir=self.data, cache_dir=self.data / "cache")
        return DeviceData(data, device(), dataset.placement)


def main() -> None:
    """Run a rival."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("specification", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for databases and results")
    parser.add_argument("--cpus", type=int, default=2)
    given = parser.parse_args()
    RIVALS[given.rival](Job(given.specification, given.data, given.folder, given.cpus))


def ray_tune(job: Job) -> None:
    """Ray Tune with a function, a grid and MLflow's callback."""

    def trainable(config: dict[str, Any]) -> None:
        for metrics in plain_training(job, config["index"]):
            tune.report(metrics)

    class Ends(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            print_end(trial.config["index"])

    ray.init(num_cpus=job.cpus, include_dashboard=False, log_to_driver=False)
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": int(torch.cuda.is_available())}),
        param_space={"index": tune.grid_search(job.indices)},
        run_config=tune.RunConfig(
            storage_path=str(job.folder / "tune"),
            callbacks=[MLflowLoggerCallback(job.sqlite, experiment_name="plain"), Ends()],
            verbose=0,
        ),
    ).fit()
    ray.shutdown()


def with_optuna(job: Job) -> None:
    """Optuna's grid sampler in one process per core, with a common study."""
    optuna.create_study(storage=job.sqlite, study_name="plain", direction="maximize")
    joblib.Parallel(n_jobs=job.cpus)(joblib.delayed(_study)(job) for _ in range(job.cpus))


def _study(job: Job) -> None:
    """One process of the study."""
    torch.set_num_threads(1)

    def objective(trial: optuna.Trial) -> float:
        accuracy = 0.0
        index = trial.suggest_categorical("index", job.indices)
        for metrics in plain_training(job, index):
            accuracy = metrics["val_accuracy"]
        print_end(index)
        return accuracy

    sampler = optuna.samplers.GridSampler({"index": job.indices}, seed=0)
    optuna.load_study(storage=job.sqlite, study_name="plain", sampler=sampler).optimize(objective)


def processes(job: Job) -> None:
    """The product's training alone."""
    with multiprocessing.get_context("spawn").Pool(job.cpus) as pool:
        tasks = [(job, index) for index in job.indices]
        for index in pool.imap_unordered(_own_training, tasks):
            print_end(index)


def _own_training(task: tuple[Job, int]) -> int:
    """One trial; returns its position."""
    job, index = task
    make_deterministic()
    torch.set_num_threads(1)
    kept = _kept(job)
    for _ in run_trial(kept.spec.trials[index], kept.device_data):
        pass
    return index


@cache
def _kept(job: Job) -> Job:
    """The first copy of a job in this process, which has its data."""
    return job


def plain_training(job: Job, index: int) -> Iterator[dict[str, float]]:
    """A tutorial's training with a DataLoader; yields the metrics of each epoch."""
    config = job.spec.trials[index]
    data = load_trial_data(config.dataset, None, data_dir=job.data, cache_dir=job.data / "cache")
    if not isinstance(data.train, ImageSet) or not isinstance(data.validation, ImageSet):
        raise TypeError("the plain training reads images only")
    size, channels = data.train.images.shape[2:]
    transform = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * channels, [0.25] * channels)]
    )
    batch_size, epochs = config.training.batch_size, config.training.epochs
    train = DataLoader(Transformed(data.train, transform), batch_size, shuffle=True, drop_last=True)
    validation = DataLoader(Transformed(data.validation, transform), _EVALUATION_BATCH)
    torch.manual_seed(config.seed)
    model = build_model(config.model, num_classes=10, in_channels=channels, image_size=size)
    model = model.to(device())
    optimizer = build_optimizer(config, model)
    rates = [group["lr"] for group in optimizer.param_groups]
    for epoch in range(epochs):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + float(np.cos(np.pi * epoch / epochs)))
        loss = _train(model, optimizer, train)
        yield {"train_loss": loss, "val_accuracy": _accuracy(model, validation)}


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]) -> float:
    """One epoch; the mean loss."""
    model.train()
    total = 0.0
    for batch, labels in loader:
        images, classes = batch.to(device()), labels.to(device())

        def closure(images: torch.Tensor = images, classes: torch.Tensor = classes) -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), classes)
            loss.backward()
            return loss

        step: Callable[..., Any] = optimizer.step
        total += float(step(closure))
    return total / len(loader)


@torch.inference_mode()
def _accuracy(model: nn.Module, loader: DataLoader[Any]) -> float:
    """Share of the images that are classified correctly."""
    model.eval()
    hits = [
        (model(batch.to(device())).argmax(1) == labels.to(device())).float()
        for batch, labels in loader
    ]
    return float(torch.cat(hits).mean())


@cache
def device() -> torch.device:
    """Where trials are trained."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def print_end(index: int) -> None:
    """Print when a trial ended."""
    print("end", index, time.time(), flush=True)


RIVALS = {"ray-tune": ray_tune, "optuna": with_optuna, "processes": processes}

if __name__ == "__main__":
    import throughput_rivals  # by its own name, so that other processes import it as well

    throughput_rivals.main()
