"""The whole stack, with real Ray and MLflow: start, faults by signals, end.

Two homes start side by side and share their fate through the tests of this file, for a start takes
ten seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

# Ends when it is asked to, and writes to a file that it was.
JOB = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path(sys.argv[1], "ended").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1], "python").write_text(sys.executable)
time.sleep(600)
"""


def addresses(supervisor: Any) -> dict[str, str]:
    return json.loads(supervisor.await_event("stack", "healthy")["message"])


def headers(supervisor: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {(supervisor.home / 'ray-token').read_text()}"}


def command_lines(*texts: str) -> dict[int, str]:
    """Processes whose command line contains the texts: another way to find them than marks."""
    found = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if all(text in arguments for text in texts):
                found[int(folder.name)] = arguments
    return found


def ray_folder(supervisor: Any) -> Path:
    """Ray's folder, whose name is also in the command line of the reaper."""
    ((arguments),) = command_lines(
        "start --head", f"--port={ports(supervisor)['ray_gcs']} "
    ).values()
    option = next(text for text in arguments.split() if text.startswith("--temp-dir="))
    return Path(option.removeprefix("--temp-dir="))


def ports(supervisor: Any) -> dict[str, int]:
    return json.loads((supervisor.home / "ports.json").read_text())


def listeners(home: Path) -> dict[int, str]:
    """Where processes of a home listen, workers included: addresses by port."""
    mark, sockets = f"\0SASAM_HOME={home}\0".encode(), set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in b"\0" + (folder / "environ").read_bytes():
                sockets |= {str(handle.readlink()) for handle in (folder / "fd").iterdir()}
    found = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                host, port = local.split(":")
                raw = bytes.fromhex(host)
                words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                found[int(port, 16)] = socket.inet_ntop(family, words)
    return found


def is_open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((httpx.URL(url).host, httpx.URL(url).port or 80)) == 0


def test_stack_through_faults(
    supervise: Callable[..., Any], until: Callable[..., None], tmp_path: Path
) -> None:
    # Two homes side by side.
    one, two = supervise("one"), supervise("two")
    first, second = addresses(one), addresses(two)
    assert set(first.values()).isdisjoint(second.values())
    for supervisor, urls in ((one, first), (two, second)):
        told = httpx.get(f"{urls['service']}/healthz").json()
        assert told["SASAM_HOME"] == str(supervisor.home)
        assert told["SASAM_RAY_ADDRESS"] == urls["ray"]
        assert told["SASAM_MLFLOW_TRACKING_URI"] == urls["mlflow"]

    # A second supervisor on a home is refused, in one line.
    refused = supervise("one")
    message = refused.await_event("stack", "died")["message"]
    assert f"is in use by process {one.process.pid}" in message
    assert "\n" not in message
    assert refused.process.wait() == 1

    # Ray asks for its token.
    jobs = f"{first['ray']}/api/jobs/"
    assert httpx.get(jobs).status_code == 401
    assert httpx.get(jobs, headers=headers(two)).status_code == 403

    # MLflow answers to its own name alone.
    search = f"{first['mlflow']}/api/2.0/mlflow/experiments/search"
    assert httpx.post(search, json={"max_results": 1}).status_code == 200
    stranger = httpx.post(search, json={"max_results": 1}, headers={"Host": "evil.example"})
    assert stranger.status_code == 403

    header = (one.home / "mlflow.db").read_bytes()[18:20]
    assert header == b"\x02\x02"  # write-ahead log, see sqlite.org/fileformat.html

    # A job runs with this interpreter.
    (tmp_path / "job.py").write_text(JOB)
    httpx.post(
        jobs,
        headers=headers(one),
        json={"entrypoint": f"exec python {tmp_path / 'job.py'} {one.home}"},
        timeout=30,
    ).raise_for_status()
    found = one.home / "python"
    until(lambda: found.exists() and found.stat().st_size > 0)  # written, not just made
    assert Path(found.read_text()).parent == Path(sys.executable).parent

    # Files are private whichever process writes them, jobs included.
    written = [path for path in one.home.rglob("*") if path.exists()]
    assert [path for path in written if path.stat().st_mode & 0o077] == []

    # Loopback alone, workers included.
    listening = listeners(one.home)
    assert listening.keys() >= {ports(one)[name] for name in ("service", "mlflow", "ray_gcs")}
    assert set(listening.values()) <= {"127.0.0.1", "::ffff:127.0.0.1"}, listening

    # A service and a raylet die; the rest of the test gives them time to come back.
    folder = ray_folder(two)
    os.kill(int(two.await_event("service", "starting")["message"].split()[-1]), signal.SIGKILL)
    (raylet,) = command_lines("raylet/raylet --", str(folder))
    os.kill(raylet, signal.SIGKILL)

    # SIGTERM: jobs end by themselves, then all of it, quickly; the neighbour lives.
    doomed = ray_folder(one)
    start = time.monotonic()
    one.process.terminate()
    one.await_event("mlflow", "stopped")
    assert one.process.wait() == 0
    assert time.monotonic() - start < 15  # 4 s on an idle machine
    assert one.order[-3:] == [(child, "stopped") for child in ("service", "ray", "mlflow")]
    assert (one.home / "ended").exists()
    assert command_lines(doomed.name) == command_lines(str(one.home)) == {}
    assert not doomed.exists()
    assert not any(map(is_open, first.values()))
    assert is_open(second["mlflow"])

    # Both are back, with the reason.
    reason = two.await_event("service", "died")["message"]
    assert reason == "was ended by signal 9 (Killed); it is started again in 0 s"
    assert two.await_event("ray", "died")["message"].startswith("ended with exit code 1")
    for child in ("service", "ray"):
        for _ in range(2):
            two.await_event(child, "healthy")
    assert httpx.get(f"{second['ray']}/api/jobs/", headers=headers(two)).json() == []

    # SIGKILL of the supervisor and of the reaper: orphans hold the ports until the next start.
    (reaper,) = command_lines("service/embedded/process_markers.py", folder.name)
    os.kill(reaper, signal.SIGKILL)
    two.process.kill()
    two.process.wait()
    assert all(map(is_open, second.values()))
    again = supervise("two")
    assert again.await_event("stack", "notice")["message"].startswith("Ended ")
    assert addresses(again) == second
    assert not folder.exists()
    folder = ray_folder(again)

    # SIGKILL of the supervisor alone: nothing is left.
    again.process.kill()
    until(lambda: not any(map(is_open, second.values())))
    until(lambda: command_lines(str(two.home)) == {})
    until(lambda: not folder.exists())
