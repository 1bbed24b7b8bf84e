"""Ray Tune Trainable that runs shares of trials.

Actors are reused. A process gets several short trials at once and reports many epochs at a time, so
that what Tune costs does not depend on how short a trial is. `workers.training.run_trial` saves
checkpoints, so that a trial resumes on any node; Tune saves none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import tune

if TYPE_CHECKING:
    from workers.trial_process import TrialProcess

__all__ = ["SweepTrial"]


class SweepTrial(tune.Trainable):
    """Trains trials one after another.

    Its configuration has these keys:
        trials: For each trial its ``key``, its configuration ``trial`` as plain data, and
            ``recorded``, the number of its recorded epochs.
        report_seconds: Shortest interval between two results; 0 for a result after every epoch.
        data_dir, cache_dir: Folders of data sets and of generated images.
        data_fingerprint: Expected fingerprint of the data; any if missing.
        checkpoint_dir: Folder or ``s3://`` address with one folder per trial key.
        log_dir: Folder on this node with one folder per trial key.
    """

    _process: TrialProcess

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the process and the first trial."""
        from workers.trial_process import TrialProcess  # a driver, which needs no torch, reads this

        resources = self.trial_resources
        required = resources.required_resources if resources is not None else {}
        cpus, uses_gpu = int(required.get("CPU", 1)), bool(required.get("GPU", 0))
        self._process = TrialProcess(config, cpus=cpus, uses_gpu=uses_gpu)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Continue with another share in this process."""
        self._process.close()
        self._process.start(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train until it is time to report, at least one epoch."""
        return self._process.report()

    def cleanup(self) -> None:
        """Drop network and optimizer."""
        self._process.close()
