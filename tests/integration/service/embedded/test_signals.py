"""Signals end the block a stack runs in, and nothing of the stack survives it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from service.embedded import ChildError, EmbeddedError, EmbeddedStack, PortInUseError, StackEvent
from service.embedded.child_process import ChildSpec
from service.settings import Settings

WEB = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def events() -> list[StackEvent]:
    return []


@pytest.fixture
def stack(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> EmbeddedStack:
    """A stack of one small child."""
    spec = ChildSpec(
        name="web",
        command=(sys.executable, "-c", WEB, str(free_port)),
        environment=dict(os.environ),
        health=(f"http://127.0.0.1:{free_port}/",),
    )
    monkeypatch.setattr(EmbeddedStack, "_specs", lambda *_: [spec])
    return EmbeddedStack(Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("number", "exception"),
    [
        (signal.SIGTERM, SystemExit),
        (signal.SIGHUP, SystemExit),
        (signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_running_signal_ends_the_block_and_handlers_return(
    stack: EmbeddedStack,
    events: list[StackEvent],
    number: signal.Signals,
    exception: type[BaseException],
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(exception) as raised, stack.running(events.append):
        signal.raise_signal(number)
    if isinstance(raised.value, SystemExit):
        assert raised.value.code == 128 + number
    assert events[-1] == StackEvent("web", "stopped", "stopped")
    assert signal.getsignal(number) is before


def test_background_command_that_ignores_interrupts_is_ended_by_one_and_not_by_a_hangup(
    stack: EmbeddedStack, events: list[StackEvent]
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        with pytest.raises(KeyboardInterrupt), stack.running(events.append):
            list(map(signal.raise_signal, (signal.SIGHUP, signal.SIGINT)))
        assert events[-1].kind == "stopped"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_wait_returns_at_a_signal_and_later_ones_do_not_disturb_the_end(
    stack: EmbeddedStack, events: list[StackEvent]
) -> None:
    def end(event: StackEvent) -> None:
        events.append(event)
        if event.kind == "healthy":
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        if event.kind == "stopped":
            signal.raise_signal(signal.SIGINT)

    with stack.running(end):
        stack.wait()
    assert events[-1].kind == "stopped"


def test_running_child_that_dies_at_once_fails_with_its_last_lines(
    stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ChildSpec("web", (sys.executable, "-c", "exit('no disk')"), {}, ("http://127.0.0.1:1",))
    monkeypatch.setattr(EmbeddedStack, "_specs", lambda *_: [spec])
    expected = pytest.raises(ChildError, match=r"(?s)web ended with exit code 1.*no disk")
    with expected, stack.running():
        pytest.fail("the block must not be entered")


def test_running_fixed_port_in_use_names_the_variable(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stack = EmbeddedStack(Settings(home=tmp_path, port=port))
        expected = pytest.raises(PortInUseError, match=f"Port {port}, set by SASAM_PORT, is in use")
        with expected, stack.running():
            pytest.fail("the block must not be entered")


def test_addresses_of_a_stack_that_does_not_run_are_refused(stack: EmbeddedStack) -> None:
    with pytest.raises(EmbeddedError, match="does not run"):
        stack.addresses  # noqa: B018
