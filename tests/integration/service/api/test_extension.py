"""Extension of a sweep over HTTP: its text with more seeds, values or optimizers."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

TEXT = """\
# The grid of figure 3.
name: small
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {learning_rate: [0.1], weight_decay: [0]}
"""


@pytest.fixture
def sweep(client: TestClient) -> str:
    return f"/api/v1/sweeps/{client.post('/api/v1/sweeps', content=TEXT).json()['sweep_id']}"


def test_extension_is_estimated_stored_and_repeatable(client: TestClient, sweep: str) -> None:
    larger = TEXT.replace("[0.1]", "[0.1, 1]") + "# one more\n"
    estimate = client.post(f"{sweep}/extend", params={"dry_run": True}, content=larger).json()
    assert (estimate["trials"], estimate["new_trials"]) == (2, 1)
    assert client.get(sweep).json()["progress"]["total"] == 1
    extended = client.post(f"{sweep}/extend", content=larger)
    assert (extended.status_code, extended.json()["progress"]["total"]) == (200, 2)
    assert client.get(f"{sweep}/specification").text == larger
    assert client.post(f"{sweep}/extend", content=larger).json() == extended.json()
    assert len(client.get(f"{sweep}/trials").json()["trials"]) == 2


def test_extension_that_changes_a_trial_names_the_value(client: TestClient, sweep: str) -> None:
    answer = client.post(f"{sweep}/extend", content=TEXT.replace("cnn-tiny", "vgg11-slim"))
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["path"] == "model.name"
    assert error["message"].startswith('must stay "cnn-tiny"')
    missing = client.post("/api/v1/sweeps/nope/extend", content=TEXT)
    assert missing.status_code == 404
