"""A trial as Ray Tune's Trainable.

Actors are reused: a process starts and imports torch once and keeps the images; network and
optimizer are dropped between trials. A trial saves itself (`workers.training.run_trial`), so it
resumes wherever it runs next; Tune saves nothing of it.
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from ray import tune

from workers.data_changes import require_same_data
from workers.durable_storage import locate
from workers.logs import TrialLog
from workers.seeding import make_deterministic
from workers.spec import TrialConfig
from workers.training import EpochRecord, run_trial
from workers.trial_data import DeviceData, load_trial_data

__all__ = ["SweepTrial"]

log = logging.getLogger(__name__)

_FILE = "checkpoint.pt"
_LOGGED = ("epoch", "train_loss", "val_accuracy", "step_size", "images_per_second")


class SweepTrial(tune.Trainable):
    """Trains one trial, an epoch a step.

    Its configuration holds ``trial``, a `TrialConfig` as plain data; ``data_dir`` and
    ``cache_dir``, where images lie and are made; ``data_fingerprint``, of the data that the sweep's
    trials share (any where absent); ``checkpoint_dir``, a folder or ``s3://`` address
    where each trial has a folder of its own by its key; ``log_dir``, the same for its log, on this
    node; and ``recorded``, how many of its epochs are recorded (none where absent).
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the process and the first trial."""
        make_deterministic()
        resources = self.trial_resources
        wanted = resources.required_resources if resources is not None else {}
        torch.set_num_threads(max(1, int(wanted.get("CPU", 1))))
        self._device = torch.device("cuda" if wanted.get("GPU", 0) else "cpu")
        self._data: DeviceData | None = None
        self._data_key: object = None
        self._log = TrialLog()
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Go on with another trial in this process."""
        self.cleanup()
        self._start(new_config)
        return True

    def step(self) -> EpochRecord:
        """Train an epoch."""
        try:
            record = next(self._records)
            shown = (f"{name} {record[name]:.4g}" for name in _LOGGED if name in record)
            log.info("%s", ", ".join(shown))
        finally:
            self._log.publish()
        return record | {"done": "outcome" in record}

    def cleanup(self) -> None:
        """Drop network and optimizer and free their memory; the images stay."""
        self._records.close()
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()  # compiled code keeps its network alive
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _start(self, config: dict[str, Any]) -> None:
        """Begin a trial, or go on from its last checkpoint."""
        trial = TrialConfig.model_validate(config["trial"])
        self._checkpoint = locate(config["checkpoint_dir"]) / trial.key / _FILE
        self._log.follow(Path(config["log_dir"], trial.key), self._checkpoint.parent)
        data = self._images(trial, Path(config["data_dir"]), Path(config["cache_dir"]))
        require_same_data(data.host.fingerprint, config.get("data_fingerprint"))
        log.info("trial %s on %s: %s", trial.key, self._device, trial.describe())
        self._records = run_trial(
            trial, data, checkpoint=self._checkpoint, recorded=config.get("recorded", 0)
        )

    def _images(self, trial: TrialConfig, data_dir: Path, cache_dir: Path) -> DeviceData:
        """The trial's images: those of the trial before, if they are the same."""
        key = (trial.dataset, trial.ood, data_dir, cache_dir)
        if self._data is None or self._data_key != key:
            self._data = None  # before others take its place
            images = load_trial_data(
                trial.dataset, trial.ood, data_dir=data_dir, cache_dir=cache_dir
            )
            self._data = DeviceData(images, self._device, trial.dataset.placement)
            self._data_key = key
        return self._data
