"""Commands on sweeps: what they print for people and for programs, and how they end."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.client import Client, Sweep
from service.states import SweepState

RUNNING = (SweepState.QUEUED, SweepState.STARTING, SweepState.RUNNING)


def test_submit_file_input_and_preset(
    run: Any, client: Client, specification: str, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(specification)
    answers = [
        run("submit", str(file), "-o", "json"),
        run("submit", "-", "-o", "json", input=specification),
        run("submit", "--preset", "digits", "-o", "json"),
    ]
    details = [json.loads(answer.stdout) for answer in answers]
    assert [detail["progress"]["total"] for detail in details] == [8, 8, 80]
    assert client.sweeps.get(details[0]["sweep_id"]).detail.name == "small"


def test_submit_same_key_is_the_same_sweep(run: Any, specification: str) -> None:
    words = ("submit", "-", "--idempotency-key", "cli", "-o", "json")
    ids = {json.loads(run(*words, input=specification).stdout)["sweep_id"] for _ in range(2)}
    assert len(ids) == 1


def test_submit_dry_run_says_the_cost_and_stores_nothing(
    run: Any, client: Client, specification: str
) -> None:
    answer = run("submit", "-", "--dry-run", input=specification.replace("small", "dry"))
    assert answer.exit_code == 0
    assert answer.stdout.split()[:2] == ["trials", "8"]
    assert not list(client.sweeps.browse(name="dry"))


def test_submit_invalid_names_each_place_on_a_line(run: Any, specification: str) -> None:
    text = specification.replace("0.01", "-1").replace("msgd", "mgd")
    answer = run("submit", "-", input=text)
    assert answer.exit_code == 2
    head, *lines = answer.stderr.splitlines()
    assert head == "sasam: the specification is invalid"
    assert {line.strip().partition(":")[0] for line in lines} == {
        "search.learning_rate[0]",
        "optimizers[1]",
    }


@pytest.mark.parametrize("words", [(), ("sweep.yaml", "--preset", "digits")])
def test_submit_needs_one_specification(run: Any, words: tuple[str, ...]) -> None:
    answer = run("submit", *words)
    assert answer.exit_code == 2
    assert answer.stderr == "sasam: name either a specification or a --preset\n"


def test_list_in_every_format(run: Any, client: Client, specification: str) -> None:
    text = specification.replace("small", "listed")
    newest = [client.sweeps.submit(text).sweep_id for _ in range(3)][::-1]
    words = ("list", "--name", "listed")
    table = run(*words).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["sweep", *newest]
    assert [row["sweep_id"] for row in json.loads(run(*words, "-o", "json").stdout)] == newest
    assert [row["sweep_id"] for row in yaml.safe_load(run(*words, "-o", "yaml").stdout)] == newest
    rows = list(csv.DictReader(io.StringIO(run(*words, "-o", "csv", "--limit", "2").stdout)))
    assert [row["sweep_id"] for row in rows] == newest[:2]
    assert rows[0]["progress.total"] == "8"


def test_list_unknown_state_says_which_there_are(run: Any) -> None:
    answer = run("list", "--state", "runing")
    assert answer.exit_code == 2
    assert "'runing'" in answer.stderr
    assert "queued, starting, running" in answer.stderr


def test_show_latest_and_by_id(run: Any, sweep: Sweep) -> None:
    assert f"sweep      {sweep.sweep_id}" in run("show").stdout
    assert yaml.safe_load(run("show", sweep.sweep_id, "-o", "yaml").stdout)["state"] == "queued"


def test_show_unknown_sweep_fails_in_a_line(run: Any) -> None:
    answer = run("show", "nothing")
    assert (answer.exit_code, answer.stderr) == (1, "sasam: no sweep 'nothing'\n")


def test_commands_change_the_state(run: Any, service: Any, sweep: Sweep) -> None:
    for command, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelling")):
        answer = run(command, sweep.sweep_id, "-o", "json")
        assert json.loads(answer.stdout)["state"] == state
    refused = run("pause", sweep.sweep_id)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("sasam: a cancelling sweep cannot pause")
    service.move(sweep.sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)
    assert json.loads(run("retry", sweep.sweep_id, "-o", "json").stdout)["state"] == "queued"
    assert run("cancel", "latest").exit_code == 0
    service.move(sweep.sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)
    assert run("delete", sweep.sweep_id).exit_code == 0
    assert run("show", sweep.sweep_id).exit_code == 1


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ({}, 0),
        ({"msgd": "diverged"}, 0),
        ({"msgd": "failed"}, 3),
        ({"msgd": "failed", "sa_sam": "failed"}, 1),
    ],
)
def test_watch_exit_status_tells_how_it_ended(
    run: Any, service: Any, sweep: Sweep, outcomes: dict[str, str], status: int
) -> None:
    service.complete(sweep.sweep_id, **outcomes)
    answer = run("watch")
    assert answer.exit_code == status
    (line,) = answer.stdout.splitlines()
    assert f"{sweep.sweep_id} completed: 8/8 trials (100 %)" in line


def test_watch_failed_sweep_says_why(run: Any, service: Any, sweep: Sweep) -> None:
    service.move(sweep.sweep_id, *RUNNING, SweepState.FAILED, reason="no GPU is left")
    answer = run("watch", sweep.sweep_id)
    assert answer.exit_code == 1
    assert "failed (no GPU is left): 0/8 trials" in answer.stdout


def test_watch_interrupted_ends_with_130_and_says_that_the_sweep_goes_on(
    start: Any, client: Client, sweep: Sweep
) -> None:
    process = start("watch", sweep.sweep_id)
    assert "queued: 0/8 trials (0 %), 0 running, 0 diverged" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    (line,) = errors.splitlines()
    assert line.startswith(f"sasam: sweep {sweep.sweep_id} goes on; `sasam watch")
    assert client.sweeps.get(sweep.sweep_id).state == "queued"


def test_watch_paused_waits_on_unless_asked_to_exit(
    run: Any, start: Any, service: Any, sweep: Sweep
) -> None:
    sweep.pause()
    answer = run("watch", sweep.sweep_id, "--exit-on-pause")
    assert answer.exit_code == 4
    assert f"paused (`sasam resume {sweep.sweep_id}` goes on): 0/8 trials" in answer.stdout

    process = start("watch", sweep.sweep_id)
    assert " paused " in process.stdout.readline()
    sweep.resume()
    assert " queued: " in process.stdout.readline()
    service.complete(sweep.sweep_id)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert " completed: 8/8 trials (100 %)" in output
