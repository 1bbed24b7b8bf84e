"""The client with a real service, and with a network that loses responses."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, ProblemError, UnreachableError, WaitTimeoutError
from service.states import SweepState
from workers.spec import load_spec


@pytest.fixture(params=["text", "data", "model", "file"])
def any_specification(request: pytest.FixtureRequest, specification: str, tmp_path: Path) -> object:
    import yaml

    file = tmp_path / "sweep.yaml"
    file.write_text(specification)
    return {
        "text": specification,
        "data": yaml.safe_load(specification),
        "model": load_spec(specification),
        "file": file,
    }[request.param]


def test_submit_any_form_is_the_same_sweep(client: Client, any_specification: Any) -> None:
    sweep = client.sweeps.submit(any_specification)
    assert sweep.state == SweepState.QUEUED
    assert sweep.progress.total == 8
    assert client.sweeps.get(sweep.sweep_id).detail == sweep.detail


def test_submit_same_key_answers_the_first_sweep(client: Client, specification: str) -> None:
    first = client.sweeps.submit(specification, idempotency_key="same")
    second = client.sweeps.submit(specification, idempotency_key="same")
    assert first.sweep_id == second.sweep_id


def test_submit_invalid_names_every_place(client: Client, specification: str) -> None:
    text = specification.replace("0.01", "-1").replace("cnn-tiny", "cnn-tny")
    with pytest.raises(ProblemError) as caught:
        client.sweeps.submit(text)
    problem = caught.value
    assert (problem.status, problem.code) == (422, "invalid-specification")
    assert {error.path for error in problem.errors} == {"search.learning_rate[0]", "model"}
    assert "did you mean cnn-tiny" in problem.detail


def test_estimate_stores_nothing(client: Client, specification: str) -> None:
    specification = specification.replace("small", "estimated")
    assert client.sweeps.estimate(specification).trials == 8
    assert list(client.sweeps.browse(name="estimated")) == []


def test_browse_reads_all_pages(client: Client, specification: str) -> None:
    specification = specification.replace("small", "browsed")
    submitted = [client.sweeps.submit(specification).sweep_id for _ in range(5)]
    found = [sweep.sweep_id for sweep in client.sweeps.browse(name="browsed", page_size=2)]
    assert found == submitted[::-1]
    assert list(client.sweeps.browse(name="browsed", states=[SweepState.FAILED])) == []
    newest = client.sweeps.list(name="browsed", limit=2)
    assert [sweep.sweep_id for sweep in newest] == found[:2]
    assert client.sweeps.list(name="browsed", states=[SweepState.FAILED]) == []


def test_commands_change_the_state_and_refusals_say_what_can_be_done(
    client: Client, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)
    assert sweep.pause().state == SweepState.PAUSED
    refusal = "a paused sweep cannot be paused; possible commands: resume, cancel"
    with pytest.raises(ProblemError, match=refusal):
        sweep.pause()
    assert sweep.resume().state == SweepState.QUEUED
    assert sweep.cancel().state == SweepState.CANCELLING


def test_wait_returns_when_the_sweep_has_ended(
    client: Client, service: Any, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)
    with pytest.raises(WaitTimeoutError, match="is queued after 0 s"):
        sweep.wait(0)
    seen = []
    for detail in sweep.follow(poll_seconds=0.01):
        seen.append(detail.state)
        if detail.state is SweepState.QUEUED:
            service.complete(sweep.sweep_id)
    assert seen == [SweepState.QUEUED, SweepState.COMPLETED]
    assert sweep.wait().progress.completed == 8


def test_results_of_a_completed_sweep(client: Client, service: Any, specification: str) -> None:
    sweep = client.sweeps.submit(specification)
    with pytest.raises(ProblemError) as caught:
        sweep.summary()
    assert caught.value.status == 409
    service.complete(sweep.sweep_id, msgd="diverged")
    summary = sweep.summary()
    assert [found.optimizer for found in summary.optimizers] == ["sa-sam", "msgd"]
    assert summary.optimizer("msgd").divergence_rate == 1
    assert sweep.summary_text("latex").startswith(("%", r"\begin"))
    assert sweep.heatmap("ood_accuracy").values("optimizer") == ["sa-sam", "msgd"]
    assert sweep.figure_file("accuracy-heatmap").startswith(b"<svg")
    assert Counter(trial.status for trial in sweep.trials()) == {"completed": 4, "diverged": 4}
    assert [trial.optimizer for trial in sweep.trials(status="diverged")] == ["msgd"] * 4
    assert len(sweep.trials_csv().splitlines()) == 9
    sweep.delete()
    with pytest.raises(ProblemError, match="no sweep"):
        sweep.refresh()


def test_catalog_and_presets(client: Client) -> None:
    assert "sa-sam" in {entry.name for entry in client.catalog().optimizers}
    presets = {preset.name: preset for preset in client.presets()}
    assert presets["digits"].trials == 80
    assert client.preset("digits") == presets["digits"]
    with pytest.raises(ProblemError, match="there are digits"):
        client.preset("nothing")


def test_unreachable_fails_at_once_and_names_the_address(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    started = time.monotonic()
    with Client(url, retry_seconds=60) as client, pytest.raises(UnreachableError, match=url):
        client.presets()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("address", ["localhost:8420", "http://localhost:port", ""])
def test_invalid_address_is_explained(address: str) -> None:
    with pytest.raises(UnreachableError, match="http://host"), Client(address) as client:
        client.presets()


def test_response_without_problem_details_is_not_from_sasam(network: Any) -> None:
    with (
        network.server(lambda handler: network.answer(handler, 404, b"<html>")) as url,
        Client(url) as client,
        pytest.raises(
            ProblemError,
            match="answered 404 Not Found without problem details: is it a sasam service",
        ),
    ):
        client.presets()


def test_submit_lost_answer_is_one_sweep(network: Any, service: Any, specification: str) -> None:
    name = "answer-lost"
    with network.losing_first_answer(service.url) as url, Client(url) as client:
        sweep = client.sweeps.submit(specification.replace("small", name))
    with Client(service.url) as client:
        assert [found.sweep_id for found in client.sweeps.browse(name=name)] == [sweep.sweep_id]


def test_delete_lost_answer_is_no_error(network: Any, service: Any, specification: str) -> None:
    with Client(service.url) as direct:
        sweep_id = direct.sweeps.submit(specification).sweep_id
        service.complete(sweep_id)
        with (
            network.losing_first_answer(service.url, method="DELETE") as url,
            Client(url) as client,
        ):
            client.sweeps.get(sweep_id).delete()
        with pytest.raises(ProblemError, match="no sweep"):
            direct.sweeps.get(sweep_id)


def test_command_lost_answer_is_not_repeated(
    network: Any, service: Any, specification: str
) -> None:
    with network.losing_first_answer(service.url) as url, Client(url) as client:
        with Client(service.url) as direct:
            sweep_id = direct.sweeps.submit(specification).sweep_id
        sweep = client.sweeps.get(sweep_id)
        with pytest.raises(UnreachableError):
            sweep.pause()
        assert sweep.refresh().state == SweepState.PAUSED


def test_transient_refusal_is_retried(network: Any) -> None:
    answers = iter([(503, b"{}"), (429, b"{}"), (200, b"[]")])
    with (
        network.server(lambda handler: network.answer(handler, *next(answers))) as url,
        Client(url) as client,
    ):
        assert client.presets() == []
    with (
        network.server(lambda handler: network.answer(handler, 503, b"{}")) as url,
        Client(url, retry_seconds=0) as client,
        pytest.raises(ProblemError),
    ):
        client.presets()
