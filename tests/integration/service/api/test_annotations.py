"""What users keep with a sweep: its text as submitted, name, tags, description, the archive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.states import SweepState
from service.storage import Database
from service.sweeps.lifecycle import transition

COMMENTED = """\
# The grid of figure 3.
name: small   # renamed later
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [0.1], weight_decay: [0]}
seeds: [0]  # the default, written out
tags: {paper: fig3}
"""


@pytest.fixture
def sweep(client: TestClient) -> str:
    answer = client.post("/api/v1/sweeps", content=COMMENTED)
    return f"/api/v1/sweeps/{answer.json()['sweep_id']}"


def test_specification_is_given_back_as_it_was_submitted(client: TestClient, sweep: str) -> None:
    answer = client.get(f"{sweep}/specification")
    assert answer.text == COMMENTED
    assert answer.headers["content-type"].startswith("application/yaml")


def test_changes_of_name_tags_and_description_last(client: TestClient, sweep: str) -> None:
    assert client.get(sweep).json()["tags"] == {"paper": "fig3"}
    changes = {"name": "large", "tags": {"kept": "yes"}, "description": "Diverges\nabove 1."}
    changed = client.patch(sweep, json=changes).json()
    assert {name: changed[name] for name in changes} == changes
    assert changed["specification"]["name"] == "small"
    assert client.patch(sweep, json={}).json() == changed
    assert client.get(sweep).json() == changed
    emptied = client.patch(sweep, json={"tags": {}, "description": ""}).json()
    assert (emptied["tags"], emptied["description"], emptied["name"]) == ({}, "", "large")


def test_sweep_is_archived_once_it_has_ended(
    client: TestClient, database: Database, submit: Callable[..., str], problem: Any
) -> None:
    sweep_id = submit("shelf")

    def listed(**params: str) -> list[str]:
        answer = client.get("/api/v1/sweeps", params={"name": "shelf", **params})
        return [found["sweep_id"] for found in answer.json()["sweeps"]]

    refused = client.patch(f"/api/v1/sweeps/{sweep_id}", json={"archived": True})
    assert "a queued sweep cannot be archived" in problem(refused, 409)["detail"]
    with database.transaction() as session:
        transition(session, sweep_id, SweepState.QUEUED, SweepState.FAILED)
    archived = client.patch(f"/api/v1/sweeps/{sweep_id}", json={"archived": True}).json()
    assert archived["is_archived"]
    assert (listed(), listed(archived="only"), listed(archived="all")) == (
        [],
        [sweep_id],
        [sweep_id],
    )
    assert not client.patch(f"/api/v1/sweeps/{sweep_id}", json={"archived": False}).json()[
        "is_archived"
    ]
    assert listed() == [sweep_id]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a/b"},
        {"tags": {"sasam.sweep": "x"}},
        {"tags": {"a": ""}},
        {"description": "\x1b[31m"},
        {"archived": "perhaps"},
        {"state": "completed"},
        [],
    ],
)
def test_invalid_changes_are_named_and_change_nothing(
    client: TestClient, sweep: str, problem: Any, changes: Any
) -> None:
    before = client.get(sweep).json()
    answer = problem(client.patch(sweep, json=changes), 422)
    assert all(name in answer["errors"][0]["path"] for name in changes)
    assert client.get(sweep).json() == before


def test_changes_of_an_unknown_sweep_are_refused(client: TestClient, problem: Any) -> None:
    assert (
        problem(client.patch("/api/v1/sweeps/none", json={}), 404)["type"]
        == "urn:sasam:unknown-sweep"
    )
