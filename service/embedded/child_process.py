"""Supervision of one child process: start, health checks, restarts, end of its process tree."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx

from service.embedded.errors import ChildError
from service.embedded.privacy import PRIVATE_UMASK
from service.embedded.process_markers import MARKER_VARIABLE, end_marked

__all__ = ["Child", "ChildSpec", "StackEvent"]

_MAX_RESTARTS = 5
_BURST_SECONDS = 300.0
_HEALTH_POLL_SECONDS = 0.1
_WATCH_SECONDS = 10.0
_MAX_MISSED_WATCHES = 18
_MAX_LOG_BYTES = 10 * 2**20
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class StackEvent:
    """An event of the stack, for people to read.

    Attributes:
        child: Name of the child; ``stack`` for all of them.
        kind: Kind of the event.
        message: One line that describes it.
    """

    child: str
    kind: Literal["starting", "healthy", "died", "stopped", "notice"]
    message: str


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run a child process.

    Attributes:
        name: Name of the child and of its log.
        command: Program and arguments.
        environment: The complete environment.
        health: URLs that answer 200 when the child is healthy.
        headers: Headers of the health requests.
        before_stop: Called before SIGTERM is sent.
        stop_seconds: Time to end after SIGTERM; then the process tree is killed.
        umask: Permissions that its files do not get; -1 for those of this process.
        slow_start: What its log says when it gave up its start only because the machine is busy;
            None if it has no such limit of its own.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    before_stop: Callable[[], None] = lambda: None
    stop_seconds: float = 4.0
    umask: int = PRIVATE_UMASK
    slow_start: str | None = None


class Child:
    """Supervises a child process in a thread until ``stop``.

    A child that dies before it was ever healthy is not restarted: the cause is its command or its
    environment. The exception is a start that the child gave up on a busy machine
    (`ChildSpec.slow_start`). A child that was healthy is restarted. Restarts wait with exponential
    backoff and are at most 5 in 5 minutes.

    Attributes:
        ready: Done when the child is healthy for the first time.
        over: Done when the child is stopped; fails when it is no longer restarted.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        marker: str,
        folder: Path,
        log: Path,
        client: httpx.Client,
        start_seconds: float,
        emit: Callable[[StackEvent], None],
    ) -> None:
        self.spec = spec
        self.ready: Future[None] = Future()
        self.over: Future[None] = Future()
        self._marker = f"{marker}.{spec.name}"
        self._folder = folder
        self._log = log
        self._client = client
        self._start_seconds = start_seconds
        self._emit = emit
        self._log_offset = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # serializes a start and a stop
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name=spec.name, daemon=True)

    def start(self) -> None:
        """Start the child without waiting; ``ready`` is done when it is healthy."""
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.1"))
        self._thread.start()

    def stop(self) -> None:
        """End the child and its process tree."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None and process.poll() is None:
            self.spec.before_stop()
            process.terminate()
        if self._thread.ident is not None:
            self._thread.join(self.spec.stop_seconds)
        end_marked(self._marker, grace_seconds=0)
        if self._thread.ident is not None:
            self._thread.join()
            self._report("stopped", "stopped")

    def _supervise(self) -> None:
        """Keep the child running; complete ``ready`` and ``over``."""
        failure: ChildError | None = None
        try:
            self._keep_running()
        except ChildError as error:
            failure = error
        except OSError as error:  # a full disk, too many open files
            failure = ChildError(f"{self.spec.name} cannot be supervised: {error}.")
        if failure is not None:
            end_marked(self._marker, self.spec.stop_seconds)
        for future in (self.ready, self.over):
            if not future.done():
                future.set_exception(failure) if failure else future.set_result(None)

    def _keep_running(self) -> None:
        """Start the child again and again until it is stopped.

        Raises:
            ChildError: It died before it was ever healthy, or died too often.
        """
        deaths: deque[float] = deque(maxlen=_MAX_RESTARTS)
        while (reason := self._run_once()) is not None:
            end_marked(self._marker, self.spec.stop_seconds)  # descendants of the dead process
            if not self.ready.done() and not self._was_slow():
                raise ChildError(f"{self.spec.name} {reason}. {self._tail()}")
            now = time.monotonic()
            if len(deaths) == _MAX_RESTARTS and now - deaths[0] < _BURST_SECONDS:
                raise ChildError(
                    f"{self.spec.name} {reason} and died {_MAX_RESTARTS + 1} times within "
                    f"{_BURST_SECONDS:.0f} s; it is not started again. {self._tail()}"
                )
            recent = sum(now - death < _BURST_SECONDS for death in deaths)
            deaths.append(now)
            pause_seconds = 0.0 if recent == 0 else 0.5 * 2.0 ** (recent - 1)
            self._report("died", f"{reason}; it is started again in {pause_seconds:g} s")
            if self._stopping.wait(pause_seconds):
                return

    def _run_once(self) -> str | None:
        """Run the child until it ends; return the reason, or None if it was stopped."""
        with self._lock:
            if self._stopping.is_set():
                return None
            process = self._process = self._spawn()
        self._report("starting", f"started as process {process.pid}")
        reason = self._await_health(process) or self._await_end(process)
        return None if self._stopping.is_set() else reason

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process with its marker and its log."""
        self._trim_log()
        self._log_offset = self._log.stat().st_size if self._log.exists() else 0
        self._log.touch(mode=0o600)
        with self._log.open("ab") as log:  # append mode: it can be truncated while the child writes
            try:
                return subprocess.Popen(  # noqa: S603
                    self.spec.command,
                    cwd=self._folder,
                    env={**self.spec.environment, MARKER_VARIABLE: self._marker},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    umask=self.spec.umask,
                    start_new_session=True,  # Ctrl-C in a terminal is for the supervisor
                )
            except OSError as error:
                raise ChildError(
                    f"{self.spec.name} cannot be started: {error.strerror}: {error.filename}."
                ) from error

    def _await_health(self, process: subprocess.Popen[bytes]) -> str | None:
        """Wait until all health URLs answer; return why they cannot, or None."""
        start = time.monotonic()
        pending_urls = list(self.spec.health)
        while pending_urls:
            if process.poll() is not None:
                return _cause(process)
            if time.monotonic() - start > self._start_seconds:
                process.kill()
                process.wait()
                return f"was not healthy after {self._start_seconds:g} s ({pending_urls[0]})"
            if self._is_healthy(pending_urls[0]):
                pending_urls.pop(0)
            elif self._stopping.wait(_HEALTH_POLL_SECONDS):
                process.wait()
        self._report("healthy", f"healthy after {time.monotonic() - start:.1f} s")
        if not self.ready.done():
            self.ready.set_result(None)
        return None

    def _is_healthy(self, url: str) -> bool:
        """Whether a URL answers 200."""
        try:
            return self._client.get(url, headers=self.spec.headers).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _await_end(self, process: subprocess.Popen[bytes]) -> str:
        """Watch a healthy process until it ends, or hangs and is killed; return the reason."""
        missed = 0
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_WATCH_SECONDS)
                return _cause(process)
            self._trim_log()
            # `ray start` keeps running when its raylet exits with code 0.
            missed = 0 if all(map(self._is_healthy, self.spec.health)) else missed + 1
            if missed == _MAX_MISSED_WATCHES:
                process.kill()
                process.wait()
                return f"did not answer for {missed * _WATCH_SECONDS:.0f} s"

    def _trim_log(self) -> None:
        """Rotate a log that is too large; the child continues at the start of the file."""
        if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES:
            self._log.with_suffix(".log.1").touch(mode=0o600)
            shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
            os.truncate(self._log, 0)
            self._log_offset = 0

    def _was_slow(self) -> bool:
        """Whether the child gave up its start only because the machine is busy."""
        return self.spec.slow_start is not None and self.spec.slow_start in self._tail()

    def _tail(self) -> str:
        """Quote the last lines that the child wrote since its start."""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_offset, size - 8192))
            lines = log.read().decode(errors="replace").splitlines()
        if not any(line.strip() for line in lines):
            return f"It wrote nothing to {self._log}."
        return "\n  ".join([f"Last lines of {self._log}:", *lines[-_TAIL_LINES:]])

    def _report(
        self, kind: Literal["starting", "healthy", "died", "stopped"], message: str
    ) -> None:
        self._emit(StackEvent(self.spec.name, kind, message))


def _cause(process: subprocess.Popen[bytes]) -> str:
    """Describe how a process ended."""
    code = process.returncode
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by signal {-code} ({signal.strsignal(-code)})"
