"""Random and TPE sweeps over HTTP: from the dry run to pages, tables, summaries and refusals."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

from service.app import create_app
from service.execution.trial_sync import record_runs
from service.sweeps.repository import SweepRepository
from tests.support.running_service import offline_settings
from workers.catalog import datasets
from workers.mlflow_schema import TrialRun
from workers.spec import SweepSpec, TrialConfig, validate_spec

BASE: dict[str, Any] = {
    "dataset": "digits",
    "model": "cnn-tiny",
    "ood": None,
    "optimizers": ["sam", {"name": "adam", "label": "None"}],
    "training": {"epochs": 2, "batch_size": 64},
    "curvature": None,
}
RANDOM = BASE | {"name": "random", "search": {"type": "random", "trials": 12}}
TPE = BASE | {"name": "tpe", "search": {"type": "tpe", "trials": 12}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = offline_settings(tmp_path_factory.mktemp("home"))
    with TestClient(create_app(settings)) as found:
        yield found


def submit(client: TestClient, specification: dict[str, Any]) -> str:
    answer = client.post("/api/v1/sweeps", json=specification)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sweep_id"])


def run_of(trial: TrialConfig, position: int, accuracy: float | None, params: bool = True) -> Run:
    """What MLflow has of a trial: that it runs, or its accuracy."""
    tags = {
        **{"sasam.trial": trial.key, "sasam.position": str(position), "sasam.attempt": "1"},
        **{"sasam.optimizer": trial.optimizer_label, "sasam.outcome": "completed"},
    }
    described = trial.describe().items() if params else ()
    metrics = {"epoch": 2.0, "val_accuracy": accuracy, "gradient_evaluations": 40.0}
    return Run(
        RunInfo(
            run_id=f"run-{trial.key}",
            experiment_id="1",
            user_id="",
            status="RUNNING" if accuracy is None else "FINISHED",
            start_time=1_000,
            end_time=None if accuracy is None else 2_000,
            lifecycle_stage="active",
        ),
        RunData(
            metrics=[Metric(n, v, 0, 2) for n, v in metrics.items() if v and accuracy],
            params=[Param(name, str(value)) for name, value in described],
            tags=[RunTag(*item) for item in tags.items()],
        ),
    )


def take_in(client: TestClient, sweep_id: str, runs: list[Run]) -> None:
    """Take in what MLflow says, as the reconciler does."""
    with client.app.state.services.database.transaction() as session:  # type: ignore[attr-defined]
        row = SweepRepository(session).get(sweep_id)
        assert row is not None
        row.mlflow_experiment_id, row.classes, row.synced_at = "1", 10, datetime.now(UTC)
        record_runs(session, sweep_id, [TrialRun.decode(run) for run in runs])


def found_by_search(specification: SweepSpec, count: int) -> dict[int, TrialConfig]:
    """Trials that a TPE search might find, by position."""
    trials: dict[int, TrialConfig] = {}
    for number in range(count):
        for label in specification.labels:
            configuration = {
                "learning_rate": 10 ** -(1 + number / 5 + (label == "None") / 9),
                "weight_decay": 1e-4 / (1 + number),
            }
            trials |= specification.expand(label, number, configuration)
    return trials


def accuracy_of(trial: TrialConfig) -> float:
    return 0.9 - 0.1 * abs(math.log10(trial.learning_rate) + 2) - 0.001 * trial.seed


@pytest.mark.parametrize(("specification", "trials"), [(RANDOM, 24), (TPE, 48)])
def test_dry_run_knows_the_cost_of_every_search(
    client: TestClient, specification: dict[str, Any], trials: int
) -> None:
    answer = client.post("/api/v1/sweeps", params={"dry_run": True}, json=specification).json()
    assert answer["trials"] == trials
    steps = datasets.entry("digits").facts["train_images"] // 64 * 2
    assert answer["gradient_evaluations"] == (2 + 1) * trials // 2 * steps


def test_tpe_sweep_is_pending_until_its_trials_are_found(client: TestClient) -> None:
    sweep_id = submit(client, TPE)
    specification = validate_spec(TPE)
    here = f"/api/v1/sweeps/{sweep_id}"
    assert client.get(here).json()["progress"]["pending"] == 48
    assert client.get(f"{here}/trials").json() == {"trials": [], "next_cursor": None}
    assert client.get(f"{here}/summary").status_code == 409
    assert len(client.get(f"{here}/trials.csv").text.splitlines()) == 1
    for path in ("", "/trials"):
        assert client.get(f"/sweeps/{sweep_id}{path}").status_code == 200

    trials = found_by_search(specification, 2)
    runs = [run_of(trial, position, None) for position, trial in trials.items()]
    runs[-1] = run_of(list(trials.values())[-1], list(trials)[-1], None, params=False)
    take_in(client, sweep_id, runs)
    progress = client.get(here).json()["progress"]
    assert (progress["running"], progress["pending"]) == (7, 41)  # one has no params yet
    ended = [run_of(trial, at, accuracy_of(trial)) for at, trial in trials.items()]
    take_in(client, sweep_id, ended)
    take_in(client, sweep_id, ended)  # nothing twice
    progress = client.get(here).json()["progress"]
    assert (progress["completed"], progress["running"], progress["pending"]) == (8, 0, 40)

    rows = client.get(f"{here}/trials").json()["trials"]
    assert [row["position"] for row in rows] == sorted(trials)
    for row in rows:
        trial = trials[row["position"]]
        assert row["key"] == trial.key
        assert row["optimizer"] == trial.optimizer_label
        assert (row["learning_rate"], row["weight_decay"]) == (
            *(trial.learning_rate, trial.weight_decay),
        )
        assert row["metrics"]["val_accuracy"] == accuracy_of(trial)
    table = list(csv.DictReader(io.StringIO(client.get(f"{here}/trials.csv").text)))
    assert [row["key"] for row in table] == [row["key"] for row in rows]
    for path in ("", "/trials", f"/trials/{rows[0]['key']}"):
        page = client.get(f"/sweeps/{sweep_id}{path}")
        assert page.status_code == 200
    assert rows[0]["key"] in client.get(f"/sweeps/{sweep_id}/trials").text


def test_runs_that_no_plan_has_are_left_alone(client: TestClient) -> None:
    sweep_id = submit(client, RANDOM)
    stranger = validate_spec(RANDOM).trial("sam", {"learning_rate": 0.5, "weight_decay": 0.5}, 0)
    take_in(client, sweep_id, [run_of(stranger, 3, 0.5)])
    progress = client.get(f"/api/v1/sweeps/{sweep_id}").json()["progress"]
    assert (progress["pending"], progress["completed"]) == (24, 0)


@pytest.fixture(scope="module", params=["random", "tpe"])
def searched(request: pytest.FixtureRequest, client: TestClient) -> str:
    """A sweep whose trials have ended."""
    plain = RANDOM if request.param == "random" else TPE
    sweep_id = submit(client, plain)
    specification = validate_spec(plain)
    trials = dict(enumerate(specification.trials)) or found_by_search(specification, 12)
    take_in(client, sweep_id, [run_of(t, at, accuracy_of(t)) for at, t in trials.items()])
    return sweep_id


def test_summary_of_a_search_has_what_needs_no_grid(client: TestClient, searched: str) -> None:
    summary = client.get(f"/api/v1/sweeps/{searched}/summary").json()
    assert summary["complete"]
    assert summary["search"] in ("random", "tpe")
    for optimizer in summary["optimizers"]:
        assert optimizer["n_configs"] == 12
        assert optimizer["n_missing"] == 0
        assert optimizer["best_config"]["val_accuracy"] > 0.7
        assert len(optimizer["expected_max_val_accuracy"]["values"]) == 12
        importance = optimizer["hyperparameter_importance"]
        assert importance["method"] == "random_forest"
        shares = (importance[name] for name in ("learning_rate", "weight_decay", "interaction"))
        assert sum(shares) == pytest.approx(1)
        assert optimizer["lr_sensitivity"] is None
    codes = {caveat["code"] for caveat in summary["caveats"]}
    assert "not_a_grid" in codes
    assert ("adaptive_search" in codes) == (summary["search"] == "tpe")
    assert client.get(f"/api/v1/sweeps/{searched}/summary", params={"format": "csv"}).is_success
    one = client.get(f"/api/v1/sweeps/{searched}/summary", params={"optimizer": "sam"}).json()
    assert one["complete"]
    assert one["planned_trials"] == summary["planned_trials"] // 2


@pytest.mark.parametrize("figure", ["heatmap?metric=val_accuracy", "overview", "lr-curves"])
def test_what_needs_a_grid_is_refused_with_what_is_possible(
    client: TestClient, searched: str, figure: str
) -> None:
    answer = client.get(f"/api/v1/sweeps/{searched}/figures/{figure}")
    assert answer.status_code == 422
    assert "needs_grid" in answer.json()["type"]
    assert "expected-max" in answer.json()["allowed"]
    assert client.get(f"/api/v1/sweeps/{searched}/figures/expected-max").is_success


def test_pages_of_a_search_show_it_without_a_grid(client: TestClient, searched: str) -> None:
    page = client.get(f"/sweeps/{searched}")
    assert page.status_code == 200
    assert 'name="learning_rate"' not in client.get(f"/sweeps/{searched}/trials").text
    for figure in ("best", "lr-curves", "expected-max"):
        assert client.get(f"/sweeps/{searched}", params={"figure": figure}).status_code == 200
    assert client.get("/new", params={"clone": searched}).status_code == 200
