"""A stand-in for a sweep's driver, which logs to a real MLflow server."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow import MlflowClient

from workers.metrics import Outcome
from workers.spec import SweepSpec, TrialConfig

__all__ = ["DriverStandIn"]


@dataclass
class DriverStandIn:
    """Writes what a driver would write to MLflow, with times of its own clock."""

    client: MlflowClient
    sweep_id: str
    specification: SweepSpec
    attempt: int = 1
    runs: dict[str, str] = field(default_factory=dict)
    parent: str = ""

    def start(self, *, classes: int | None = 10) -> None:
        """Make the sweep's run."""
        name = self.specification.name
        known = self.client.get_experiment_by_name(name)
        self.experiment_id = known.experiment_id if known else self.client.create_experiment(name)
        tags = {"sasam.sweep": self.sweep_id, "sasam.kind": "sweep"}
        if classes is not None:
            tags["sasam.classes"] = str(classes)
        self.parent = self.client.create_run(self.experiment_id, tags=tags).info.run_id

    def start_trial(self, trial: TrialConfig) -> str:
        """Make a trial's run, or open it again."""
        if trial.key in self.runs:
            self.client.update_run(self.runs[trial.key], status="RUNNING")
            self.client.set_tag(self.runs[trial.key], "sasam.attempt", str(self.attempt))
        else:
            tags = {
                "sasam.sweep": self.sweep_id,
                "sasam.kind": "trial",
                "sasam.trial": trial.key,
                "sasam.attempt": str(self.attempt),
            }
            run = self.client.create_run(self.experiment_id, tags=tags)
            self.runs[trial.key] = run.info.run_id
        return self.runs[trial.key]

    def end_trial(
        self, trial: TrialConfig, outcome: Outcome, *, time_ms: int | None = None, **metrics: float
    ) -> None:
        """Log metrics and end a trial's run."""
        run_id = self.start_trial(trial)
        for name, value in metrics.items():
            self.client.log_metric(run_id, name, value, step=1)
        self.client.set_tag(run_id, "sasam.outcome", outcome)
        if outcome is Outcome.FAILED:
            self.client.set_tag(run_id, "sasam.error", "MemoryError: no memory")
        status = "FAILED" if outcome is Outcome.FAILED else "FINISHED"
        self.client.set_terminated(run_id, status, time_ms)

    def end_all(self, outcome: Outcome = Outcome.COMPLETED) -> None:
        """End every trial, and the sweep's run."""
        for trial in self.specification.trials:
            self.end_trial(trial, outcome, epoch=1, val_accuracy=0.5)
        self.client.set_terminated(self.parent, "FINISHED")

    def status(self, run_id: str) -> tuple[str, str | None]:
        """Status and outcome of a run."""
        run = self.client.get_run(run_id)
        return run.info.status, run.data.tags.get("sasam.outcome")
