"""A child is supervised, restarted with a reason, and ended with its process tree."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.embedded import child_process
from service.embedded.child_process import Child, ChildSpec, StackEvent
from service.embedded.errors import ChildError
from service.embedded.process_markers import find_marked

# Serves 200 on the port, and starts a grandchild in a session of its own.
SERVER = """
import http.server, subprocess, sys
subprocess.Popen(["sleep", "99"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Run:
    """A running child and its events."""

    def __init__(self, child: Child, marker: str, events: list[StackEvent]) -> None:
        self.child = child
        self.marker = marker
        self.events = events

    def pids(self) -> list[int]:
        return [int(event.message.split()[-1]) for event in self.events if event.kind == "starting"]

    def healthy(self) -> int:
        return sum(event.kind == "healthy" for event in self.events)

    def deaths(self) -> list[str]:
        return [event.message for event in self.events if event.kind == "died"]


@pytest.fixture
def run(tmp_path: Path, free_port: int) -> Callable[..., object]:
    """Run a child named ``web`` inside a block."""

    @contextmanager
    def run(
        program: str = SERVER, start_seconds: float = 20.0, slow_start: str | None = None
    ) -> Iterator[Run]:
        marker, events = secrets.token_hex(8), list[StackEvent]()
        with httpx.Client(trust_env=False, timeout=1.0) as client:
            child = Child(
                ChildSpec(
                    name="web",
                    command=(sys.executable, "-c", program, str(free_port)),
                    environment=dict(os.environ),
                    health=(f"http://127.0.0.1:{free_port}/",),
                    slow_start=slow_start,
                ),
                marker=marker,
                folder=tmp_path,
                log=tmp_path / "web.log",
                client=client,
                start_seconds=start_seconds,
                emit=events.append,
            )
            child.start()
            try:
                yield Run(child, marker, events)
            finally:
                child.stop()
        assert find_marked(marker) == []

    return run


def test_start_given_up_on_a_busy_machine_is_tried_again(run: Callable[..., object]) -> None:
    gives_up_once = """
import os, sys
if not os.path.exists("tried"):
    open("tried", "w").close()
    sys.exit("node timed out")
"""
    with run(gives_up_once + SERVER, slow_start="timed out") as web:
        web.child.ready.result(timeout=20)
        assert [death.partition(";")[0] for death in web.deaths()] == ["ended with exit code 1"]


def test_start_is_tried_again_for_no_other_reason(run: Callable[..., object]) -> None:
    with run("exit('no disk')", slow_start="timed out") as web:
        with pytest.raises(ChildError, match="no disk"):
            web.child.ready.result(timeout=20)
        assert web.deaths() == []


def test_child_stopped_ends_grandchildren_in_other_sessions(run) -> None:
    with run() as web:
        web.child.ready.result(20)
        assert len(find_marked(f"{web.marker}.web")) == 2
    assert web.child.over.result(0) is None
    assert web.deaths() == []


def test_child_killed_is_started_again_with_the_reason(run, until) -> None:
    with run() as web:
        web.child.ready.result(20)
        before = set(find_marked(web.marker))
        os.kill(web.pids()[0], signal.SIGKILL)
        until(lambda: web.healthy() == 2)
        assert before.isdisjoint(find_marked(web.marker))
    assert web.deaths() == ["was ended by signal 9 (Killed); it is started again in 0 s"]


def test_child_that_dies_during_start_up_is_not_started_again(run) -> None:
    with run("print('one'); raise SystemExit('no such table')") as web:
        with pytest.raises(ChildError, match=r"(?s)web ended with exit code 1.*one\n  no such tab"):
            web.child.ready.result(20)
        assert len(web.pids()) == 1


def test_child_that_never_answers_fails_at_the_deadline(run) -> None:
    expected = pytest.raises(ChildError, match=r"was not healthy after 0.3 s \(http://127")
    with run("import time; time.sleep(99)", start_seconds=0.3) as web, expected:
        web.child.ready.result(20)


def test_child_that_cannot_be_executed_is_named(run, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with run() as web, pytest.raises(ChildError, match="No such file or directory: /nowhere/py"):
        web.child.ready.result(20)


def test_child_that_keeps_dying_is_given_up(run, monkeypatch) -> None:
    monkeypatch.setattr(child_process, "_MAX_RESTARTS", 2)
    end_soon = "; threading.Timer(0.1, lambda: os._exit(3)).start()"  # after a healthy answer
    flaky = "import threading, os" + SERVER.replace("end_headers()", f"end_headers(){end_soon}")
    with run(flaky) as web:
        with pytest.raises(ChildError, match="exit code 3 and died 3 times within 300 s"):
            web.child.over.result(20)
        assert [death.rsplit(" in ")[-1] for death in web.deaths()] == ["0 s", "0.5 s"]


def test_child_that_hangs_is_started_again(run, until, monkeypatch) -> None:
    monkeypatch.setattr(child_process, "_WATCH_SECONDS", 0.05)
    monkeypatch.setattr(child_process, "_MAX_MISSED_WATCHES", 2)
    with run() as web:
        web.child.ready.result(20)
        os.kill(web.pids()[0], signal.SIGSTOP)
        until(lambda: web.healthy() == 2)
    assert web.deaths()[0].startswith("did not answer for 0 s")


def test_child_log_stays_bounded(run, until, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(child_process, "_WATCH_SECONDS", 0.05)
    monkeypatch.setattr(child_process, "_MAX_LOG_BYTES", 1000)
    chatty = "import threading; threading.Timer(0.3, print, ['x' * 2000]).start()\n" + SERVER
    (tmp_path / "web.log").write_text("of an earlier start")
    with run(chatty) as web:
        web.child.ready.result(20)
        assert (tmp_path / "web.log.1").read_text() == "of an earlier start"
        until(lambda: "x" * 2000 in (tmp_path / "web.log.1").read_text())
        until(lambda: (tmp_path / "web.log").stat().st_size < 1000)
