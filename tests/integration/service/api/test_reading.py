"""Lists, sweeps, trials, commands, catalog and health over HTTP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from service.states import SweepState
from service.storage import Database, TrialRow
from service.sweeps.lifecycle import transition
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository
from workers.spec import load_spec

Check = Callable[[httpx.Response, int], dict[str, Any]]
Submit = Callable[..., str]
SWEEPS = "/api/v1/sweeps"
STRANGE = ["missing", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%27%20or%201=1--", "%00", "%22", "a%0Ab"]


@pytest.fixture
def finished(submit: Submit, specification: str, database: Database) -> str:
    """A failed sweep with two results, a failure and five trials that never ran."""
    sweep_id = submit()
    first, second, third, *_ = load_spec(specification).trials
    results: dict[str, dict[str, Any]] = {
        first.key: {"outcome": "completed", "metrics": {"val_accuracy": 0.5}, "epoch": 2},
        second.key: {"outcome": "diverged", "metrics": {"train_loss": 9.5}, "epoch": 1},
        third.key: {"outcome": "failed", "error": "MemoryError: no, memory"},
    }
    with database.transaction() as session:
        for key, values in results.items():
            TrialRepository(session).record(sweep_id, key, values)
        assert transition(session, sweep_id, SweepState.QUEUED, SweepState.STARTING)
        started = {"started_at": datetime.now(UTC)}
        assert transition(session, sweep_id, SweepState.STARTING, SweepState.RUNNING, **started)
        why = {"reason": "no memory"}
        assert transition(session, sweep_id, SweepState.RUNNING, SweepState.FAILED, **why)
    return sweep_id


def test_sweep_stored_before_its_values_were_bounded_is_shown(
    client: TestClient, finished: str, database: Database
) -> None:
    with database.transaction() as session:
        row = require_sweep(session, finished)
        stored = row.specification
        row.specification = stored | {
            "search": stored["search"] | {"learning_rate": [1e-35, 0.1]},
            "model": stored["model"] | {"kwargs": {"note": "first\nsecond"}},
            "training": stored["training"] | {"gradient_clipping": None, "warmup_epochs": 0},
        }
        for trial in session.scalars(select(TrialRow).where(TrialRow.sweep_id == finished)):
            if trial.learning_rate == 0.01:
                trial.learning_rate = 1e-35
                trial.hyperparameters = trial.hyperparameters | {"learning_rate": 1e-35}
            key = trial.key
    sweep = f"{SWEEPS}/{finished}"
    page = f"/sweeps/{finished}"
    assert client.get(sweep).json()["specification"]["search"]["learning_rate"][0] == 1e-35
    for place in (SWEEPS, f"{sweep}/trials", f"{sweep}/trials/{key}", f"{sweep}/summary"):
        assert client.get(place).status_code == 200, place
    for place in (page, f"{page}/trials", f"{page}/trials/{key}", f"{page}/search"):
        assert client.get(place).status_code in (200, 404), place
    assert client.get(page).status_code == 200


def test_stored_sweep_of_an_optimizer_that_is_not_installed_says_so(
    client: TestClient, finished: str, database: Database, problem: Check
) -> None:
    with database.transaction() as session:
        row = require_sweep(session, finished)
        row.specification = row.specification | {"optimizers": [{"name": "of-a-package"}]}
    details = problem(client.get(f"{SWEEPS}/{finished}/summary"), 422)
    assert "unknown optimizer 'of-a-package'" in details["detail"]
    assert client.get(f"{SWEEPS}/{finished}").status_code == 200


def test_list_walks_pages_and_filters(client: TestClient, submit: Submit) -> None:
    mine = [submit("walk") for _ in range(5)]
    client.post(f"{SWEEPS}/{mine[0]}/pause")
    walked, cursor = [], None
    while True:
        options = {"name": "walk", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = client.get(SWEEPS, params=options).json()
        walked += [sweep["sweep_id"] for sweep in page["sweeps"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == mine[::-1]
    paused = client.get(SWEEPS, params={"name": "walk", "state": ["paused", "failed"]}).json()
    assert [sweep["sweep_id"] for sweep in paused["sweeps"]] == mine[:1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("state=asleep", "state"),
        ("name=%00", "name"),
        ("name=..%2Fx", "name"),
        ("cursor=abc", "cursor"),
        ("cursor=%F0%9F%98%80", "cursor"),
        ("cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCBh", "cursor"),  # before the first year
        ("cursor=MjAyNi0wMS0wMVQwMDowMDowMCswMDowMCBhAGI=", "cursor"),  # NUL in the id
    ],
)
def test_list_with_a_wrong_option_is_refused(
    query: str, named: str, client: TestClient, problem: Check
) -> None:
    assert named in problem(client.get(f"{SWEEPS}?{query}"), 422)["detail"]


def test_trials_are_listed_in_order_by_page_and_status(
    finished: str, client: TestClient, specification: str
) -> None:
    path = f"{SWEEPS}/{finished}/trials"
    page = client.get(path, params={"limit": 5}).json()
    rest = client.get(path, params={"limit": 5, "cursor": page["next_cursor"]}).json()
    assert rest["next_cursor"] is None
    keys = [trial["key"] for trial in page["trials"] + rest["trials"]]
    assert keys == [trial.key for trial in load_spec(specification).trials]
    (failed,) = client.get(path, params={"status": "failed"}).json()["trials"]
    assert failed["error"] == "MemoryError: no, memory"
    assert len(client.get(path, params={"status": "pending"}).json()["trials"]) == 5


@pytest.mark.parametrize("query", ["cursor=-2", f"cursor={10**30}", "limit=1001", "status=lost"])
def test_trials_with_a_wrong_option_are_refused(
    query: str, finished: str, client: TestClient, problem: Check
) -> None:
    details = problem(client.get(f"{SWEEPS}/{finished}/trials?{query}"), 422)
    assert query.partition("=")[0] in details["errors"][0]["path"]


def test_trials_as_csv_have_one_row_each(finished: str, client: TestClient) -> None:
    answer = client.get(f"{SWEEPS}/{finished}/trials.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["status"] for row in rows[:4]] == ["completed", "diverged", "failed", "pending"]
    assert [row["val_accuracy"] for row in rows[:3]] == ["0.5", "", ""]
    assert [row["train_loss"] for row in rows[:3]] == ["", "9.5", ""]
    assert len(rows) == 8


AXES = {
    "name": "axes",
    "dataset": "digits",
    "model": "cnn-tiny",
    "optimizers": [{"name": "adam", "search": {"betas": [[0.9, 0.95], [0.9, 0.999]]}}, "msgd"],
    "search": {
        **{"learning_rate": [0.1], "weight_decay": None, "training.batch_size": [32, 64]},
        "training.gradient_clipping": [None, 1],
    },
}


def test_trials_have_the_value_of_each_axis_and_are_found_by_it(
    client: TestClient,
) -> None:
    sweep_id = client.post(SWEEPS, json=AXES).json()["sweep_id"]
    path = f"{SWEEPS}/{sweep_id}/trials"
    (first, *others) = client.get(path).json()["trials"]
    assert len(others) == 11
    assert first["hyperparameters"] == {
        **{"learning_rate": 0.1, "training.batch_size": 32, "training.gradient_clipping": None},
        "optimizer.betas": [0.9, 0.95],
    }
    assert (first["learning_rate"], first["weight_decay"]) == (0.1, None)
    shown = client.get(f"{path}/{first['key']}").json()
    assert shown["configuration"]["optimizer"]["betas"] == [0.9, 0.95]
    assert shown["configuration"]["weight_decay"] is None
    where = {"at": ["optimizer.betas=[0.9,0.95]", "training.batch_size=64"], "limit": 1}
    page = client.get(path, params=where).json()
    rest = client.get(path, params=where | {"cursor": page["next_cursor"]}).json()
    found = page["trials"] + rest["trials"]
    assert [trial["hyperparameters"]["training.gradient_clipping"] for trial in found] == [None, 1]
    rows = list(csv.DictReader(io.StringIO(client.get(f"{path}.csv").text)))
    assert list(rows[0])[:9] == [
        *("key", "optimizer", "learning_rate", "weight_decay", "seed", "epoch"),
        *("training.batch_size", "training.gradient_clipping", "optimizer.betas"),
    ]
    assert (rows[0]["optimizer.betas"], rows[0]["weight_decay"]) == ("[0.9, 0.95]", "")
    chosen = client.get(f"{path}.csv", params={"at": "training.batch_size=64"}).text
    assert {row["training.batch_size"] for row in csv.DictReader(io.StringIO(chosen))} == {"64"}


@pytest.mark.parametrize("ending", ["", ".csv"])
def test_trials_at_an_unknown_axis_are_refused(
    finished: str, client: TestClient, problem: Check, ending: str
) -> None:
    path = f"{SWEEPS}/{finished}/trials{ending}"
    details = problem(client.get(path, params={"at": "optimizer.momentum=0.9"}), 422)
    assert details["detail"] == (
        "unknown axis 'optimizer.momentum' (this sweep has: learning_rate, weight_decay)"
    )
    problem(client.get(path, params={"at": "learning_rate"}), 422)


def test_trial_that_never_ran_has_its_configuration_alone(
    finished: str, client: TestClient, specification: str
) -> None:
    trial = load_spec(specification).trials[5]
    found = client.get(f"{SWEEPS}/{finished}/trials/{trial.key}").json()
    assert found["configuration"] == trial.model_dump(mode="json")
    assert (found["status"], found["history"], found["ood_matrix"]) == ("pending", {}, None)


@pytest.mark.parametrize("sweep_id", STRANGE)
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
        ("POST", "/retry-failed"),
        ("GET", "/trials"),
        ("GET", "/trials.csv"),
        ("GET", "/trials/0123456789abcdef"),
        ("GET", "/summary"),
        ("GET", "/heatmap?metric=val_accuracy"),
        ("GET", "/figures/best"),
    ],
)
def test_unknown_sweep_is_a_problem_everywhere(
    sweep_id: str, method: str, rest: str, client: TestClient, problem: Check
) -> None:
    problem(client.request(method, f"{SWEEPS}/{sweep_id}{rest}"), 404)


@pytest.mark.parametrize("key", STRANGE)
def test_unknown_trial_is_a_problem(
    key: str, finished: str, client: TestClient, problem: Check
) -> None:
    problem(client.get(f"{SWEEPS}/{finished}/trials/{key}"), 404)


def test_command_in_the_wrong_state_names_the_state_and_what_is_allowed(
    finished: str, client: TestClient, problem: Check
) -> None:
    for command, done in (("pause", "paused"), ("resume", "resumed"), ("cancel", "cancelled")):
        details = problem(client.post(f"{SWEEPS}/{finished}/{command}"), 409)
        assert details["detail"] == (
            f"a failed sweep cannot be {done}; possible commands: retry-failed, extend, delete"
        )
        assert (details["state"], details["allowed"]) == (
            "failed",
            ["retry-failed", "extend", "delete"],
        )


def test_commands_change_the_state_that_is_answered(client: TestClient, submit: Submit) -> None:
    sweep_id = submit()
    states = [
        client.post(f"{SWEEPS}/{sweep_id}/{command}").json()["state"]
        for command in ("pause", "resume", "cancel")
    ]
    assert states == ["paused", "queued", "cancelling"]


def test_retry_and_delete_of_an_ended_sweep(
    finished: str, client: TestClient, problem: Check
) -> None:
    retried = client.post(f"{SWEEPS}/{finished}/retry-failed").json()
    assert (retried["state"], retried["ended_at"]) == ("queued", None)
    assert (retried["progress"]["pending"], retried["progress"]["failed"]) == (6, 0)
    details = problem(client.delete(f"{SWEEPS}/{finished}"), 409)
    assert details["detail"].startswith("a queued sweep cannot be deleted")


def test_deleted_sweep_is_gone_with_its_trials(
    finished: str, client: TestClient, problem: Check, database: Database
) -> None:
    assert client.delete(f"{SWEEPS}/{finished}").status_code == 204
    problem(client.get(f"{SWEEPS}/{finished}"), 404)
    problem(client.delete(f"{SWEEPS}/{finished}"), 404)
    with database.snapshot() as session:
        assert TrialRepository(session).of_sweep(finished) == []


def test_summary_before_any_result_is_a_conflict(
    client: TestClient, submit: Submit, problem: Check
) -> None:
    for path in ("summary", "heatmap?metric=val_accuracy", "figures/best"):
        details = problem(client.get(f"{SWEEPS}/{submit()}/{path}"), 409)
        assert details["type"] == "urn:sasam:no_finished_trials"


@pytest.mark.parametrize(
    "path",
    [
        "heatmap",
        "heatmap?metric=speed",
        "heatmap?metric=val_accuracy&format=gif",
        "heatmap?metric=val_accuracy&theme=pink",
        "figures/pie",
        "summary?format=xml",
        "summary?target=nan",
        "summary?target=1.5",
        "summary?optimizer=adam",
    ],
)
def test_summary_of_something_unknown_says_what_is_known(
    path: str, finished: str, client: TestClient, problem: Check
) -> None:
    assert problem(client.get(f"{SWEEPS}/{finished}/{path}"), 422)["allowed"]


def test_no_answer_holds_a_number_json_has_not(
    finished: str, client: TestClient, specification: str
) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    key = load_spec(specification).trials[0].key
    for path in ("", "/trials", f"/trials/{key}", "/summary", "/heatmap?metric=val_accuracy"):
        answer = client.get(f"{SWEEPS}/{finished}{path}")
        assert answer.status_code == 200, answer.text
        json.loads(answer.text, parse_constant=refuse)


def test_catalog_and_presets_can_be_submitted(client: TestClient, problem: Check) -> None:
    catalog = client.get("/api/v1/catalog").json()
    assert {"sa-sam", "sam", "sa-sgd", "msgd", "adam"} <= {o["name"] for o in catalog["optimizers"]}
    assert len(catalog["corruptions"]) == 19
    presets = client.get("/api/v1/presets").json()
    assert {"digits", "paper-vgg19", "paper-vit-small"} <= {preset["name"] for preset in presets}
    for preset in presets:
        assert client.get(f"/api/v1/presets/{preset['name']}").json() == preset
        assert load_spec(preset["text"]).trial_count == preset["trials"]
    for name in ("missing", "..%2Fcatalog", "%00"):
        problem(client.get(f"/api/v1/presets/{name}"), 404)


def test_service_without_ray_is_alive_but_not_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 503
    checks = ready.json()["checks"]
    assert checks["database"] == "ok"
    assert checks["ray"] == "Ray does not answer at SASAM_RAY_ADDRESS"
    assert checks["mlflow"] == "MLflow does not answer at SASAM_MLFLOW_TRACKING_URI"


def test_unknown_path_and_method_are_problems(client: TestClient, problem: Check) -> None:
    problem(client.get("/api/v1/nothing"), 404)
    answer = client.put(SWEEPS)
    problem(answer, 405)
    assert answer.headers["allow"]


def test_defect_is_a_problem_without_its_traceback(
    finished: str, client: TestClient, problem: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(TrialRepository, "of_sweep", fail)
    answer = client.get(f"{SWEEPS}/{finished}/trials")
    problem(answer, 500)
    assert "secret" not in answer.text


def test_document_resolves_and_gives_problems_their_media_type(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    for reference in references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")) and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], path
    commanded = document["paths"]["/api/v1/sweeps/{sweep_id}/pause"]["post"]["responses"]
    gate = {"401", "403", "413", "421", "429", "503"}
    assert {"200", "404", "409", "422"} | gate == set(commanded)
