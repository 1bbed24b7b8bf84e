"""The process of trials: trains a share of trials, one after another, and reports their epochs.

A process imports torch once and keeps the images; network and optimizer are dropped between trials.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypedDict

import torch

from workers.catalog import datasets
from workers.data_changes import require_same_data
from workers.durable_storage import CHECKPOINT, locate
from workers.logs import TrialLog
from workers.own_code.sources import needed_files
from workers.seeding import make_deterministic
from workers.spec import TrialConfig
from workers.training import EpochRecord, run_trial
from workers.trial_data import DeviceData, load_trial_data

__all__ = ["Report", "TrialProcess"]

log = logging.getLogger(__name__)

_LOGGED = ("epoch", "train_loss", "val_accuracy", "step_size", "images_per_second")


class Report(TypedDict):
    """One epoch of a trial, as Tune transports it."""

    key: str
    """Trial key."""
    seconds: float
    """Time since the start of the trial in this process, in seconds."""
    record: EpochRecord
    """Measurements of the epoch."""


class TrialProcess:
    """Runs shares of trials.

    Args:
        config: The first share, see `workers.trainable.SweepTrial`.
        cpus: Number of threads.
        uses_gpu: Whether trials run on the GPU.
    """

    _error: Exception | None
    _is_done: bool
    _report_seconds: float
    _reports: Generator[Any]

    def __init__(self, config: dict[str, Any], *, cpus: int, uses_gpu: bool) -> None:
        make_deterministic()
        torch.set_num_threads(max(1, cpus))
        self._device = torch.device("cuda" if uses_gpu else "cpu")
        self._data: DeviceData | None = None
        self._data_key: object = None
        self._train_size: int | None = None
        self._log = TrialLog()
        self.start(config)
        # Collections between trials then look at their objects alone, not at all of torch and Ray.
        gc.collect()
        gc.freeze()

    def start(self, config: dict[str, Any]) -> None:
        """Start the first trial of a share; load its images."""
        self._error = None
        self._is_done = False
        self._report_seconds = config.get("report_seconds", 0.0)
        self._reports = self._run(config)
        next(self._reports)

    def report(self) -> dict[str, Any]:
        """Train until it is time to report, at least one epoch.

        Returns:
            ``reports``, a list of `Report`, and ``done``, whether all trials have ended. An
            error is raised in a call of its own, after what came before it has been reported.
        """
        if self._error is not None:
            raise self._error
        reports: list[Report] = []
        end = time.monotonic() + self._report_seconds
        try:
            while not self._is_done and (not reports or time.monotonic() < end):
                reports.append(next(self._reports))
        except Exception as error:
            if not reports:
                raise
            self._error = error
        finally:
            self._log.publish()
        return {"reports": reports, "done": self._is_done}

    def close(self) -> None:
        """Drop network and optimizer and free their memory; the images stay."""
        self._reports.close()
        self._free()

    def _run(self, config: dict[str, Any]) -> Generator[Any]:
        """Yield once when the first trial is prepared, then a `Report` per epoch of each trial."""
        items = config["trials"]
        for item in items:
            started = time.monotonic()
            records = self._records(item, config)
            try:
                if item is items[0]:
                    yield None
                for record in records:
                    shown = (f"{name} {record[name]:.4g}" for name in _LOGGED if name in record)
                    log.info("%s", ", ".join(shown))
                    self._is_done = "outcome" in record and item is items[-1]
                    seconds = time.monotonic() - started
                    yield Report(key=item["key"], seconds=seconds, record=record)
            finally:
                records.close()
                self._log.publish()
            if not self._is_done:
                self._free()

    def _records(self, item: dict[str, Any], config: dict[str, Any]) -> Generator[EpochRecord]:
        """The records of a trial from its start or its last checkpoint."""
        trial = TrialConfig.of_accepted_sweep(item["trial"])
        checkpoint = locate(config["checkpoint_dir"]) / trial.key / CHECKPOINT
        self._log.follow(Path(config["log_dir"], trial.key), checkpoint.parent)
        data = self._images(trial, Path(config["data_dir"]), Path(config["cache_dir"]))
        require_same_data(data.host.fingerprint, config.get("data_fingerprint"))
        log.info("trial %s on %s: %s", trial.key, self._device, trial.describe())
        return run_trial(trial, data, checkpoint=checkpoint, recorded=item.get("recorded", 0))

    def _free(self) -> None:
        """Free the memory of a network that is no longer used."""
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()  # compiled code keeps its network alive
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _images(self, trial: TrialConfig, data_dir: Path, cache_dir: Path) -> DeviceData:
        """The trial's images; those of the previous trial as far as they are the same."""
        dataset, train_size = trial.dataset, trial.dataset.train_size
        name = datasets.code_name(dataset.name)
        files = needed_files(name.file, trial.files) if name is not None else {}
        sources: dict[str, Any] = {"data_dir": data_dir, "cache_dir": cache_dir, "files": files}
        key = (dataset.model_copy(update={"train_size": None}), trial.ood, sources)
        if self._data is None or self._data_key != key:
            self._data = None  # free memory before loading others
            images = load_trial_data(dataset, trial.ood, **sources)
            self._data = DeviceData(images, self._device, dataset.placement)
            self._data_key = key
        elif self._train_size != train_size:
            self._data.use_training_images(load_trial_data(dataset, None, **sources))
        self._train_size = train_size
        return self._data
