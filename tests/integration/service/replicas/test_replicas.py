"""Several services on one database act as one."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.support.replicas import Replica

SPECIFICATION = """
name: {name}
dataset: digits
model: cnn-tiny
optimizers: [msgd]
search: {{learning_rate: [0.1], weight_decay: [0]}}
"""


def submit(replica: Replica, name: str) -> str:
    """Submit a sweep; returns its id."""
    body = SPECIFICATION.format(name=name)
    answer = httpx.post(f"{replica.url}/api/v1/sweeps", content=body, timeout=60)
    return str(answer.json()["sweep_id"])


def show(replica: Replica, sweep_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{replica.url}/api/v1/sweeps/{sweep_id}").json()
    return answer


def leading(replicas: list[Replica]) -> tuple[Replica, Replica]:
    """The one that leads, and the other."""
    first, second = replicas
    first.wait_until(lambda: first.leads or second.leads)
    return (first, second) if first.leads else (second, first)


def test_two_hundred_submissions_with_fifty_keys_at_both_make_fifty_sweeps(
    replicas: list[Replica],
) -> None:
    def post(number: int) -> tuple[str, int, str]:
        name = f"key-{number % 50}"
        answer = client.post(
            f"{replicas[number // 50 % 2].url}/api/v1/sweeps",
            content=SPECIFICATION.format(name=name),
            headers={"Idempotency-Key": name},
        )
        return name, answer.status_code, answer.json()["sweep_id"]

    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(post, range(200)))
    created = [sweep_id for _, status, sweep_id in answers if status == 201]
    assert {status for _, status, _ in answers} == {200, 201}
    assert len(created) == len(set(created)) == 50
    assert len({(name, sweep_id) for name, _, sweep_id in answers}) == 50


def test_events_of_one_service_reach_the_readers_of_the_other(replicas: list[Replica]) -> None:
    first, second = replicas
    sweep_id = submit(first, "followed")
    with httpx.stream("GET", f"{second.url}/api/v1/sweeps/{sweep_id}/events", timeout=60) as answer:
        states = []
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                states.append(event["data"].get("state"))
                if len(states) == 1:
                    httpx.post(f"{first.url}/api/v1/sweeps/{sweep_id}/cancel")
    assert [state for state in states if state] == ["queued", "cancelling", "cancelled"]


def test_read_only_database_is_not_ready_until_it_is_writable(
    replicas: list[Replica], switch: Callable[[str], None]
) -> None:
    first, _ = replicas
    sweep_id = submit(first, "before")
    switch("on")
    body = SPECIFICATION.format(name="refused")
    refused = httpx.post(f"{first.url}/api/v1/sweeps", content=body, timeout=60)
    assert refused.status_code == 503
    assert "read-only" in refused.json()["detail"]
    assert show(first, sweep_id)["name"] == "before"
    switch("off")
    sweep_id = submit(first, "after")
    first.wait_until(lambda: "Ray does not" in (show(first, sweep_id)["reason"] or ""))


def test_one_leads_and_the_other_takes_over_when_it_is_suspended_or_ends(
    replicas: list[Replica],
) -> None:
    leader, other = leading(replicas)
    assert leader.leader == other.leader
    leader.signal(signal.SIGSTOP)
    began = time.monotonic()
    other.wait_until(lambda: other.leads)
    assert time.monotonic() - began < 20
    sweep_id = submit(other, "during")
    other.wait_until(lambda: "Ray does not" in (show(other, sweep_id)["reason"] or ""))
    leader.signal(signal.SIGCONT)  # it believes that it leads, until it queries the lease
    leader.wait_until(lambda: "no longer leads" in leader.log.read_text())
    assert other.leads
    other.signal(signal.SIGTERM)  # an orderly end releases the lease immediately
    assert other.process.wait(30) == -signal.SIGTERM
    leader.wait_until(lambda: leader.leads)
    sweep_id = submit(leader, "after")
    leader.wait_until(lambda: "Ray does not" in (show(leader, sweep_id)["reason"] or ""))
