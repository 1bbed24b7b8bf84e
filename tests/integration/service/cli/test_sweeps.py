"""Commands on sweeps: output for people and for programs, exit statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
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


def test_submit_can_ask_to_reuse_trials(run: Any, client: Client, specification: str) -> None:
    answer = run("submit", "-", "--reuse", "-o", "json", input=specification)
    detail = json.loads(answer.stdout)
    assert detail["specification"]["reuse"] is True
    stored = client.sweeps.get(detail["sweep_id"]).specification_text()
    assert stored == f"{specification.rstrip()}\nreuse: true\n"
    by_client = client.sweeps.submit(specification, reuse=True).detail.specification
    assert by_client == detail["specification"]
    assert "reuse" not in client.sweeps.submit(specification).detail.specification


def test_submit_not_to_a_terminal_prints_the_id_alone(
    run: Any, client: Client, specification: str
) -> None:
    answer = run("submit", "-", input=specification)
    (sweep_id,) = answer.stdout.splitlines()
    assert client.sweeps.get(sweep_id).sweep_id == sweep_id
    table = run("submit", "-", "--output", "table", input=specification).stdout
    assert table.startswith("sweep      ")


def test_submit_to_a_terminal_prints_a_table(service: Any) -> None:
    terminal, end = pty.openpty()
    process = subprocess.run(
        [sys.executable, "-c", "from service.cli import main; main()", "submit", "--preset=digits"],
        env={**os.environ, "SASAM_URL": service.url, "TERM": "dumb"},
        stdout=end,
    )
    os.close(end)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert process.returncode == 0
    assert [line.split()[:1] for line in shown.splitlines()[:3]] == [["sweep"], ["name"], ["state"]]


def test_submit_and_watch_prints_the_id_alone_on_standard_output(
    start: Any, service: Any, specification: str, tmp_path: Path
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(specification)
    process = start("submit", str(file), "--watch")
    sweep_id = process.stdout.readline().strip()
    service.complete(sweep_id)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert f"{sweep_id} completed: 8/8 trials (100 %)" in errors


def test_submit_same_key_is_the_same_sweep(run: Any, specification: str) -> None:
    words = ("submit", "-", "--idempotency-key", "cli", "-o", "json")
    ids = {json.loads(run(*words, input=specification).stdout)["sweep_id"] for _ in range(2)}
    assert len(ids) == 1


def test_submit_dry_run_shows_the_cost_and_stores_nothing(
    run: Any, client: Client, specification: str
) -> None:
    answer = run("submit", "-", "--dry-run", input=specification.replace("small", "dry"))
    assert answer.exit_code == 0
    assert answer.stdout.split()[:2] == ["trials", "8"]
    assert not list(client.sweeps.browse(name="dry"))


def test_submit_invalid_prints_one_line_per_invalid_value(run: Any, specification: str) -> None:
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


def test_list_unknown_state_names_the_nearest_and_all_states(run: Any) -> None:
    answer = run("list", "--state", "runing")
    assert answer.exit_code == 2
    assert answer.stderr == (
        f"sasam: unknown state 'runing'; did you mean running? (known: {', '.join(SweepState)})\n"
    )


def test_show_latest_and_by_id(run: Any, sweep: Sweep) -> None:
    assert f"sweep      {sweep.sweep_id}" in run("show").stdout
    assert yaml.safe_load(run("show", sweep.sweep_id, "-o", "yaml").stdout)["state"] == "queued"


def test_show_unknown_sweep_fails_in_one_line(run: Any) -> None:
    answer = run("show", "nothing")
    assert (answer.exit_code, answer.stderr) == (1, "sasam: no sweep 'nothing'\n")


def test_commands_change_the_state(run: Any, service: Any, sweep: Sweep) -> None:
    for command, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelling")):
        answer = run(command, sweep.sweep_id, "-o", "json")
        assert json.loads(answer.stdout)["state"] == state
    refused = run("pause", sweep.sweep_id)
    assert refused.exit_code == 1
    assert (
        refused.stderr == "sasam: the state of the sweep is cancelling; possible commands: none\n"
    )
    service.move(sweep.sweep_id, SweepState.CANCELLING, SweepState.CANCELLED)
    refused = run("resume", sweep.sweep_id)
    assert refused.stderr.endswith(
        "possible commands: `sasam retry`, `sasam extend`, `sasam delete`\n"
    )
    assert "commands   retry, extend, delete" in run("show").stdout
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
def test_watch_exit_status_shows_how_it_ended(
    run: Any, service: Any, sweep: Sweep, outcomes: dict[str, str], status: int
) -> None:
    service.complete(sweep.sweep_id, **outcomes)
    answer = run("watch")
    assert answer.exit_code == status
    (line,) = answer.stdout.splitlines()
    assert f"{sweep.sweep_id} completed: 8/8 trials (100 %)" in line


def test_watch_failed_sweep_shows_the_reason(run: Any, service: Any, sweep: Sweep) -> None:
    service.move(sweep.sweep_id, *RUNNING, SweepState.FAILED, reason="no GPU is left")
    answer = run("watch", sweep.sweep_id)
    assert answer.exit_code == 1
    assert "failed (no GPU is left): 0/8 trials" in answer.stdout


def test_watch_interrupted_exits_with_130_and_says_that_the_sweep_continues(
    start: Any, client: Client, sweep: Sweep
) -> None:
    process = start("watch", sweep.sweep_id)
    assert "queued: 0/8 trials (0 %), 0 running, 0 diverged" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    (line,) = errors.splitlines()
    assert line.startswith(f"sasam: sweep {sweep.sweep_id} continues; `sasam watch")
    assert client.sweeps.get(sweep.sweep_id).state == "queued"


def test_watch_paused_waits_unless_set_to_exit(
    run: Any, start: Any, service: Any, sweep: Sweep
) -> None:
    sweep.pause()
    answer = run("watch", sweep.sweep_id, "--exit-on-pause")
    assert answer.exit_code == 4
    assert f"paused (`sasam resume {sweep.sweep_id}` continues it): 0/8 trials" in answer.stdout

    process = start("watch", sweep.sweep_id)
    assert " paused " in process.stdout.readline()
    sweep.resume()
    assert " queued: " in process.stdout.readline()
    service.complete(sweep.sweep_id)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert " completed: 8/8 trials (100 %)" in output


def test_sweeps_are_found_by_name_and_by_the_beginning_of_their_id(
    run: Any, client: Client, specification: str
) -> None:
    ids = [
        client.sweeps.submit(specification.replace("small", name)).sweep_id
        for name in ("lookup-a", "lookup-b", "lookup-b")
    ]
    found = [run("show", reference, "--json") for reference in ("lookup-a", ids[0], ids[0][:9])]
    assert [json.loads(answer.stdout)["sweep_id"] for answer in found] == [ids[0]] * 3
    ambiguous = run("cancel", "lookup-b")
    assert ambiguous.exit_code == 1
    assert all(sweep_id in ambiguous.stderr for sweep_id in ids[1:])
    assert {client.sweeps.get(sweep_id).state for sweep_id in ids} & set(RUNNING)
    assert "did you mean" in run("show", "lookup").stderr


def test_edit_renames_tags_describes_and_archives(
    run: Any, client: Client, completed: Sweep
) -> None:
    key = completed.sweep_id
    first = run("edit", key, "--name", "edited", "--tag", "a=1", "--tag", "b=2=3")
    assert first.exit_code == 0, first.stderr
    run("edit", key, "--untag", "a", "--description", "Good.", "--archive")
    detail = completed.refresh().detail
    assert (detail.name, detail.tags, detail.description) == ("edited", {"b": "2=3"}, "Good.")
    assert key not in run("list").stdout
    assert key in run("list", "--archived", "--tag", "b").stdout
    assert run("edit", key, "--tag", "b").exit_code == 2
    unknown = run("edit", key, "--untag", "c")
    assert "unknown tag 'c'" in unknown.stderr
    assert "(known: b)" in unknown.stderr


def test_show_prints_the_specification_as_submitted(run: Any, client: Client) -> None:
    text = "# why\nname: x\ndataset: digits\nmodel: cnn-tiny\noptimizers: [sam]\nseeds: [0]\n"
    text += "search: {learning_rate: [0.1]}\n"
    sweep = client.sweeps.submit(text)
    assert run("show", sweep.sweep_id, "--spec").stdout == text


def test_extend_adds_trials_and_refuses_other_changes(
    run: Any, completed: Sweep, tmp_path: Path
) -> None:
    sweep_id = completed.sweep_id
    text = run("show", sweep_id, "--spec").stdout
    larger = tmp_path / "larger.yaml"
    larger.write_text(text + "\nseeds: [0, 1]\n")
    estimate = run("extend", sweep_id, str(larger), "--dry-run")
    total = completed.progress.total
    assert f"{2 * total}, {total} of them new" in estimate.stdout
    assert completed.refresh().state == "completed"
    extended = run("extend", sweep_id, str(larger), "--json")
    assert extended.exit_code == 0, extended.output
    found = completed.refresh()
    assert (found.state, found.progress.total, found.progress.pending) == (
        "queued",
        2 * total,
        total,
    )
    refused = run("extend", sweep_id, "-", input=text)
    assert refused.exit_code == 2
    assert "seeds: must keep 1 of the sweep (got [0])" in refused.output
