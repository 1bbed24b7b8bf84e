"""POST /sweeps: stored sweeps, responses and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import func, select
from starlette.testclient import TestClient

from service.storage import Database, SweepRow, TrialRow
from workers.spec import load_spec

Check = Callable[[httpx.Response, int], dict[str, Any]]
SWEEPS = "/api/v1/sweeps"


def stored(database: Database) -> tuple[int, int]:
    """How many sweeps and trials there are."""
    with database.snapshot() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table))
            for table in (SweepRow, TrialRow)
        ]
    return counts[0] or 0, counts[1] or 0


@pytest.mark.parametrize("media", ["application/yaml", "application/json", None])
def test_submit_stores_the_sweep_and_its_trials(
    media: str | None, client: TestClient, specification: str, database: Database
) -> None:
    body = json.dumps(yaml.safe_load(specification)) if media != "application/yaml" else None
    before = stored(database)
    answer = client.post(
        SWEEPS,
        content=body or specification,
        headers={"Content-Type": media} if media else {},
    )
    assert answer.status_code == 201
    sweep = answer.json()
    assert answer.headers["location"] == f"{SWEEPS}/{sweep['sweep_id']}"
    assert client.get(answer.headers["location"]).json() == sweep
    assert (sweep["state"], sweep["attempt"], sweep["reason"]) == ("queued", 0, None)
    assert sweep["progress"]["total"] == sweep["progress"]["pending"] == 8
    assert sweep["specification"] == load_spec(specification).model_dump(mode="json")
    assert sweep["commands"] == ["pause", "cancel", "extend"]
    assert sweep["links"]["mlflow"] is None
    assert stored(database) == (before[0] + 1, before[1] + 8)


def test_dry_run_says_the_cost_and_stores_nothing(
    client: TestClient, specification: str, database: Database
) -> None:
    before = stored(database)
    answer = client.post(SWEEPS, params={"dry_run": True}, content=specification)
    assert answer.status_code == 200
    assert answer.json()["trials"] == 8
    assert answer.json()["specification"]["training"]["epochs"] == 2
    steps, cells = 2 * (1297 // 64), 4  # two epochs of whole batches
    assert answer.json()["gradient_evaluations"] == (3 + 1) * steps * cells
    assert stored(database) == before


def test_same_key_and_specification_is_the_same_sweep(
    client: TestClient, specification: str, problem: Check, database: Database
) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post(SWEEPS, content=specification, headers=headers)
    before = stored(database)
    rewritten = json.dumps(yaml.safe_load(specification))  # the same, in other words
    second = client.post(SWEEPS, content=rewritten, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    other = specification.replace("epochs: 2", "epochs: 3")
    details = problem(client.post(SWEEPS, content=other, headers=headers), 409)
    sweep_id = first.json()["sweep_id"]
    assert details["type"] == "urn:sasam:idempotency-key-reused"
    assert details["sweep_id"] == sweep_id
    assert sweep_id in details["detail"]
    assert stored(database) == before


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_idempotency_key_of_a_wrong_length_is_refused(
    key: str, client: TestClient, specification: str, problem: Check
) -> None:
    headers = {"Idempotency-Key": key}
    details = problem(client.post(SWEEPS, content=specification, headers=headers), 422)
    assert details["errors"][0]["path"] == "header.idempotency-key"


def change(**values: Any) -> dict[str, Any]:
    """The specification with something wrong in it."""
    plain: dict[str, Any] = {
        "name": "small",
        "dataset": "digits",
        "model": "cnn-tiny",
        "optimizers": ["sam"],
        "search": {"learning_rate": [0.1], "weight_decay": [0.0]},
    }
    return plain | values


@pytest.mark.parametrize(
    ("wrong", "path", "value"),
    [
        (change(bogus=1), "bogus", "1"),
        (change(training={"epoch": 3}), "training.epoch", "3"),
        (change(optimizers=["adamw2"]), "optimizers[0]", '"adamw2"'),
        (change(optimizers=[]), "optimizers", "[]"),
        (change(model="vgg99"), "model", '"vgg99"'),
        (change(dataset="cifar1000"), "dataset", '"cifar1000"'),
        (change(search={"learning_rate": []}), "search.learning_rate", "[]"),
        (change(search={"learning_rate": [0.0]}), "search.learning_rate[0]", "0.0"),
        (change(search={"learning_rate": [0.1, -0.1]}), "search.learning_rate[1]", "-0.1"),
        (change(search={"learning_rate": [float("nan")]}), "search.learning_rate[0]", "NaN"),
        (change(search={"learning_rate": [float("inf")]}), "search.learning_rate[0]", "Infinity"),
        (change(search={"learning_rate": ["0.1"]}), "search.learning_rate[0]", '"0.1"'),
        (change(search={"weight_decay": [-1e-4]}), "search.weight_decay[0]", "-0.0001"),
        (change(seeds=[-1]), "seeds[0]", "-1"),
        (change(seeds=[1.5]), "seeds[0]", "1.5"),
        (change(seeds=[]), "seeds", "[]"),
        (change(seeds=list(range(101))), "search", "101"),
        (change(name="../etc"), "name", '"../etc"'),
        (change(name="a' or 1=1"), "name", '"a\' or 1=1"'),
        (change(tags={"note": "a\0b"}), "tags.note", '"a\\u0000b"'),
        (change(tags={"note": "\ud800"}), "tags.note", '"\\ud800"'),
        (change(ood={"corruptions": ["rain"]}), "ood.corruptions[0]", '"rain"'),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_wrong_specification_is_refused_by_path_message_and_value(
    wrong: dict[str, Any],
    path: str,
    value: str,
    dry_run: bool,
    client: TestClient,
    problem: Check,
    database: Database,
) -> None:
    before = stored(database)
    answer = client.post(SWEEPS, params={"dry_run": dry_run}, content=json.dumps(wrong))
    details = problem(answer, 422)
    assert details["type"] == "urn:sasam:invalid-specification"
    (error,) = [found for found in details["errors"] if found["path"].startswith(path)]
    assert error["message"]
    assert error["value"] == value
    assert error["message"] in details["detail"]
    assert stored(database) == before


def test_missing_sections_are_all_named(client: TestClient, problem: Check) -> None:
    details = problem(client.post(SWEEPS, content="name: small"), 422)
    assert {error["path"] for error in details["errors"]} == {"dataset", "model", "optimizers"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"just text",
        b"a: &x [1]\nb: *x",
        b"name: a\nname: b",
        b"!!python/object/apply:os.system [id]",
        b"\xff\xfe\x00",
        b"[" * 4000,
        b"seeds: [" + b"9" * 5000 + b"]",
    ],
)
def test_body_that_is_no_specification_is_refused(
    body: bytes, client: TestClient, problem: Check, database: Database
) -> None:
    before = stored(database)
    details = problem(client.post(SWEEPS, content=body), 422)
    assert details["errors"]
    for error in details["errors"]:
        assert set(error) == {"path", "message", "value"}
        assert len(error["value"]) <= 100
    assert stored(database) == before


@pytest.mark.parametrize("chunked", [False, True])
def test_body_too_large_is_refused_with_and_without_its_length(
    chunked: bool, client: TestClient, specification: str, problem: Check, database: Database
) -> None:
    before = stored(database)
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield specification.encode()
        for _ in range(100):
            sent += 1
            yield b"#" * 100 + b"\n"

    body: Any = chunks() if chunked else b"".join(chunks())
    details = problem(client.post(SWEEPS, content=body), 413)
    assert details["limit_bytes"] == 8192
    assert "8192" in details["detail"]
    assert stored(database) == before
