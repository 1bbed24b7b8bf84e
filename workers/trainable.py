"""Ray Tune Trainable that runs a trial.

Actors are reused: a process imports torch once and keeps the images; network and optimizer are
dropped between trials. `workers.training.run_trial` saves checkpoints, so that a trial resumes on
any node; Tune saves none.
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from ray import tune

from workers.catalog import datasets
from workers.data_changes import require_same_data
from workers.durable_storage import CHECKPOINT, locate
from workers.logs import TrialLog
from workers.own_code.sources import needed_files
from workers.seeding import make_deterministic
from workers.spec import TrialConfig
from workers.training import EpochRecord, run_trial
from workers.trial_data import DeviceData, load_trial_data

__all__ = ["SweepTrial"]

log = logging.getLogger(__name__)

_LOGGED = ("epoch", "train_loss", "val_accuracy", "step_size", "images_per_second")


class SweepTrial(tune.Trainable):
    """Trains one trial, one epoch per step.

    Its configuration has these keys:
        trial: A `TrialConfig` as plain data.
        data_dir, cache_dir: Folders of data sets and of generated images.
        data_fingerprint: Expected fingerprint of the data; any if missing.
        checkpoint_dir: Folder or ``s3://`` address with one folder per trial key.
        log_dir: Folder on this node with one folder per trial key.
        recorded: Number of recorded epochs of the trial; 0 if missing.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the process and the first trial."""
        make_deterministic()
        resources = self.trial_resources
        required = resources.required_resources if resources is not None else {}
        torch.set_num_threads(max(1, int(required.get("CPU", 1))))
        self._device = torch.device("cuda" if required.get("GPU", 0) else "cpu")
        self._data: DeviceData | None = None
        self._data_key: object = None
        self._train_size: int | None = None
        self._log = TrialLog()
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Continue with another trial in this process."""
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
        """Start a trial, or resume it from its last checkpoint."""
        trial = TrialConfig.of_accepted_sweep(config["trial"])
        self._checkpoint = locate(config["checkpoint_dir"]) / trial.key / CHECKPOINT
        self._log.follow(Path(config["log_dir"], trial.key), self._checkpoint.parent)
        data = self._images(trial, Path(config["data_dir"]), Path(config["cache_dir"]))
        require_same_data(data.host.fingerprint, config.get("data_fingerprint"))
        log.info("trial %s on %s: %s", trial.key, self._device, trial.describe())
        self._records = run_trial(
            trial, data, checkpoint=self._checkpoint, recorded=config.get("recorded", 0)
        )

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
