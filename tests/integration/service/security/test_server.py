"""The service as a process: raw HTTP requests, and refused starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.waiting import http_answers, wait_until

TOKEN = "0123456789abcdef" * 4
BEARER = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A running service with an administrator's token."""
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text(TOKEN)
    port = free_port()
    variables = {
        "SASAM_HOME": str(home),
        "SASAM_PORT": str(port),
        "SASAM_ADMIN_TOKEN_FILE": str(home / "token"),
        "SASAM_RAY_ADDRESS": "http://127.0.0.1:9",
        "SASAM_MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from service.cli import main; main()", "serve"],
            env=os.environ | variables,
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(
                lambda: (
                    process.poll() is not None or http_answers(f"http://127.0.0.1:{port}/healthz")
                ),
                seconds=180,
                explain=(home / "log").read_text,
            )
            assert process.poll() is None, (home / "log").read_text()
            yield "127.0.0.1", port
            process.terminate()
            assert process.wait(30) == -signal.SIGTERM, (home / "log").read_text()
        finally:
            process.kill()
            process.wait()


def speak(address: tuple[str, int], text: str) -> str:
    """Send bytes; return the response until the server closes the connection."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(text.encode("latin-1"))
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer.decode("latin-1")


def head(method: str, path: str, *lines: str) -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n" + "".join(lines) + "\r\n"


@pytest.mark.parametrize("authorization", ["", BEARER])
def test_body_of_100_mb_is_refused_unread(address: tuple[str, int], authorization: str) -> None:
    started = time.monotonic()
    length = f"Content-Length: {100 * 2**20}\r\n"
    answer = speak(address, head("POST", "/api/v1/sweeps", length, authorization))
    assert answer.startswith("HTTP/1.1 413")
    assert "application/problem+json" in answer
    assert time.monotonic() - started < 5


def test_body_without_length_is_read_up_to_the_limit(address: tuple[str, int]) -> None:
    chunk = "4000\r\n" + "#" * 0x4000 + "\r\n"
    start = head("POST", "/api/v1/sweeps", "Transfer-Encoding: chunked\r\n", BEARER)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(start.encode())
        for _ in range(5):  # 80 KiB, and never the end
            connection.sendall(chunk.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/../api/v1/sweeps",
        "/static/../api/v1/sweeps",
        "/static/../../settings.py",
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/static/vendor/../../../settings.py",
        "//healthz",
        "/healthz;/api/v1/sweeps",
        "/healthz%00",
        "http://localhost/api/v1/sweeps",
        "/./api/v1/sweeps",
    ],
)
def test_raw_path_traversal_is_refused(address: tuple[str, int], path: str) -> None:
    for authorization, allowed in (("", {"401", "404"}), (BEARER, {"404"})):
        answer = speak(address, head("GET", path, authorization, "Connection: close\r\n"))
        assert answer.split(" ")[1] in allowed, answer
        assert "SettingsConfigDict" not in answer
        assert "root:" not in answer


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /api/v1/sweeps HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        "GET /api/v1/sweeps HTTP/1.1\r\n\r\n",
        "GET /api/v1/sweeps HTTP/1.0\r\nConnection: close\r\n\r\n",
        "POST /api/v1/sweeps HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/sweeps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        "Content-Length: 50\r\n\r\n",
        "\x16\x03\x01\x02\x00",
    ],
)
def test_malformed_request_is_refused(address: tuple[str, int], request_text: str) -> None:
    if request_text.startswith("\x16"):
        request_text += "\r\n\r\n"
    assert speak(address, request_text).split(" ")[1] in {"400", "421"}


def test_forged_forwarded_address_is_not_believed(address: tuple[str, int]) -> None:
    lines = (BEARER, "X-Forwarded-For: 192.0.2.9\r\n", "Content-Length: 0\r\n")
    speak(address, head("POST", "/api/v1/sweeps/0/pause", *lines, "Connection: close\r\n"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    audit = httpx.get(f"http://{address[0]}:{address[1]}/api/v1/audit", headers=headers).json()
    assert (audit["entries"][0]["actor"], audit["entries"][0]["address"]) == (
        "bootstrap",
        "127.0.0.1",
    )


@pytest.mark.parametrize(
    ("command", "variables", "reason"),
    [
        ("serve", {"SASAM_HOST": "0.0.0.0"}, "needs a token"),  # noqa: S104
        ("up", {"SASAM_HOST": "0.0.0.0"}, "needs a token"),  # noqa: S104
        ("serve", {"SASAM_TRUSTED_PROXIES": "127.0.0.1"}, "SASAM_TRUSTED_PROXIES is 127.0.0.1"),
        ("up", {"SASAM_ALLOWED_HOSTS": "sasam.example"}, "SASAM_ALLOWED_HOSTS is sasam.example"),
        ("serve", {"SASAM_ADMIN_TOKEN_FILE": "/no/such/file"}, "/no/such/file cannot be read"),
        ("serve", {"SASAM_WEBHOOK_URLS": "https://a.example"}, "needs SASAM_WEBHOOK_SECRET_FILE"),
        ("serve", {"SASAM_PORT": "high"}, "SASAM_PORT: input should be a valid integer"),
    ],
)
@pytest.mark.parametrize("program", ["sasam", "service.server"])
def test_service_that_may_not_start_prints_one_line(
    tmp_path: Path, program: str, command: str, variables: dict[str, str], reason: str
) -> None:
    arguments = {
        "sasam": ["-c", "from service.cli import main; main()", command],
        "service.server": ["-m", "service.server"],
    }
    ended = subprocess.run(
        [sys.executable, *arguments[program]],
        env=os.environ | {"SASAM_HOME": str(tmp_path)} | variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 2
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) <= (1 if program == "service.server" else 2)
