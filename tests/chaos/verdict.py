"""What a sweep left in MLflow and in the service, held against an undisturbed one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.entities import Run

from service.client import Client

NAME = "chaos"
OF_THE_CLOCK = {"images_per_second"}
"""Metrics that time decides and not the configuration."""

Metrics = dict[str, dict[str, float]]
"""Final metrics by trial."""


@dataclass
class Verdict:
    """What is wrong with a sweep; nothing, if all lists are empty and the counts 0."""

    lost: int = 0
    duplicated: int = 0
    running: int = 0
    repeated_steps: int = 0
    differing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return self == Verdict()


def final_metrics(uri: str, sweep_id: str) -> Metrics:
    """Final metrics of each trial of a sweep."""
    return {_key(run): _values(run) for run in _runs(MlflowClient(uri), sweep_id, "trial")}


def judge(
    service: str, uri: str, sweep_id: str, reference: Metrics, state: str = "completed"
) -> Verdict:
    """Hold a sweep against the reference."""
    client, verdict = MlflowClient(uri), Verdict()
    trials = _runs(client, sweep_id, "trial")
    by_key = Counter(_key(run) for run in trials)
    verdict.lost = len(reference.keys() - by_key.keys())
    verdict.duplicated = sum(by_key.values()) - len(by_key)
    everything = [*trials, *_runs(client, sweep_id, "sweep")]
    verdict.running = sum(run.info.status == "RUNNING" for run in everything)
    for run in trials:
        for metric in ("val_accuracy", "train_loss", "images_per_second"):
            steps = [m.step for m in client.get_metric_history(run.info.run_id, metric)]
            verdict.repeated_steps += len(steps) - len(set(steps))
        if _values(run) != reference.get(_key(run)):
            verdict.differing.append(_key(run))
    with Client(service) as sasam:
        sweep = sasam.sweeps.get(sweep_id)
        outcomes = Counter(trial.status for trial in sweep.trials())
    if sweep.state != state:
        verdict.problems.append(f"the sweep is {sweep.state}: {sweep.detail.reason}")
    if outcomes != {"completed": len(reference)}:
        verdict.problems.append(f"the service counts {dict(outcomes)}")
    return verdict


def _runs(client: MlflowClient, sweep_id: str, kind: str) -> list[Run]:
    experiment = client.get_experiment_by_name(NAME)
    condition = f"tags.`sasam.sweep` = '{sweep_id}' and tags.`sasam.kind` = '{kind}'"
    return list(client.search_runs([experiment.experiment_id], condition, max_results=1000))


def _key(run: Run) -> str:
    return str(run.data.tags["sasam.trial"])


def _values(run: Run) -> dict[str, float]:
    return {k: v for k, v in run.data.metrics.items() if k not in OF_THE_CLOCK}
