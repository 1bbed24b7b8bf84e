"""The small programs in the images: the entrypoint and the health check, run for real."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .compose_files import ROOT

DEPLOY = ROOT / "deploy"


def enter(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command by the entrypoint."""
    return subprocess.run(
        [DEPLOY / "entrypoint.sh", *command],
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("content", [None, ""])
def test_entrypoint_secret_missing_or_empty_is_one_line(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    answer = enter({"RAY_AUTH_TOKEN_PATH": str(file)}, "echo", "started")
    assert answer.returncode == 78
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"sasam: RAY_AUTH_TOKEN_PATH: {file} is ")


def test_entrypoint_gives_libpq_the_password_for_itself_alone(tmp_path: Path) -> None:
    password, handed = tmp_path / "password", tmp_path / ".pgpass"
    password.write_text("a:b\\c d\n")
    environment = {"PGPASSWORD_FILE": str(password), "PGPASSFILE": str(handed)}
    answer = enter(environment, "sh", "-c", "echo $#-$1", "name", "two words")
    assert answer.stdout == "1-two words\n"
    assert handed.read_text() == "*:*:*:*:a\\:b\\\\c d\n"
    assert handed.stat().st_mode & 0o777 == 0o600


class Answers(BaseHTTPRequestHandler):
    """200 for the right token, 503 with a reason without one."""

    def do_GET(self) -> None:
        is_known = self.headers.get("Authorization") == "Bearer right"
        body = b"fine" if is_known else b"ray: no token"
        self.send_response(200 if is_known else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()
        thread.join()


def check(*addresses: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the health check as the images do, with no packages."""
    return subprocess.run(
        [sys.executable, "-SI", DEPLOY / "healthcheck.py", *addresses],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_health_check_shows_rays_token_from_either_place(address: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right\n")
    assert check(address, address, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token")).returncode == 0
    assert check(address, **{"RAY_AUTH_TOKEN": "right"}).returncode == 0


def test_health_check_says_what_is_wrong(address: str) -> None:
    answer = check(address)
    assert answer.returncode == 1
    assert answer.stdout == f"{address}: 503 ray: no token\n"
    nobody = "http://127.0.0.1:9/"
    answer = check(nobody)
    assert answer.returncode == 1
    assert answer.stdout.startswith(f"{nobody}: ")


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_script_is_executable_and_plain_sh(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], check=True)
