"""Ray Tune scheduler that starts trials in order and lets starting processes finish their start.

When a process has ended its share, Tune gives it to the first pending trial and kills the process
that is starting for that trial. A start takes seconds, of imports, so with short trials all slots
of a cluster but one would start processes forever.
"""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

__all__ = ["InOrderScheduler", "first_waiting"]


class InOrderScheduler(FIFOScheduler):
    """Starts trials in order."""

    def __getstate__(self) -> dict[str, Any]:
        """No state: Tune pickles its scheduler for a restore, which is not used here."""
        return {}

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that gets the next free process."""
        return first_waiting(tune_controller)


def first_waiting(tune_controller: Any) -> Trial | None:
    """The first pending trial for which no process is starting; None if there is none.

    Args:
        tune_controller: What Tune passes to a scheduler. It has no public method that returns
            which trial an actor is for, so this reads the controller behind it.
    """
    controller = tune_controller._tune_controller
    unplaced = {None, *controller._actor_manager.pending_actors}
    return next(
        (
            trial
            for trial in controller._pending_trials_list
            if trial.status == Trial.PENDING and controller._trial_to_actor.get(trial) in unplaced
        ),
        None,
    )
