"""Where a webhook's connection really leads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.webhooks.addresses import AddressRefusedError, post


class Receiver:
    """An HTTP server that counts connections and sends callers elsewhere."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, self.headers["Host"], body))
                self.send_response(302 if self.path == "/moved" else 204)
                self.send_header("Location", "/secret")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.server.shutdown()
    started.server.server_close()
    started.thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]"])
def test_this_machine_is_refused_before_it_is_connected_to(receiver: Receiver, host: str) -> None:
    with pytest.raises(AddressRefusedError, match="SASAM_WEBHOOK_PRIVATE_ADDRESSES"):
        post(f"http://{host}:{receiver.port}/", b"", {})
    assert receiver.requests == []


def test_name_that_also_leads_within_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    with pytest.raises(AddressRefusedError, match=r"two\.example has the address 127"):
        post(f"http://two.example:{receiver.port}/", b"", {})
    assert receiver.requests == []


def test_name_that_changes_after_the_check_changes_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer_with(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    targets: list[Any] = []

    class Recording(socket.socket):
        def connect(self, address: Any) -> None:
            targets.append(address)
            raise ConnectionRefusedError("no network here")

    monkeypatch.setattr(socket, "socket", Recording)
    with pytest.raises(ConnectionRefusedError):
        post(f"http://rebind.example:{receiver.port}/", b"", {})
    assert targets == [("1.1.1.1", receiver.port)]
    assert asked == ["rebind.example"]  # once: what was checked is what is connected to
    assert receiver.requests == []


def test_message_reaches_its_receiver_by_name_and_no_redirect_is_followed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_with(monkeypatch, ["127.0.0.1"], ["127.0.0.1"])
    base = f"http://hook.example:{receiver.port}"
    assert post(f"{base}/in?a=b", b"{}", {}, allow_private=True) == 204
    assert post(f"{base}/moved", b"{}", {}, allow_private=True) == 302
    host = f"hook.example:{receiver.port}"
    assert receiver.requests == [("/in?a=b", host, b"{}"), ("/moved", host, b"{}")]


def answer_with(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Resolve names to these addresses, one list per query; return the queried names."""
    asked: list[str] = []
    left = list(answers)

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked
