"""The stack of the embedded mode: service, Ray and MLflow as supervised child processes.

Recovery from failures:

- When a child dies, the rest of its process tree is ended and it is restarted; the database,
  MLflow's store and the checkpoints are in ``SASAM_HOME``.
- When the supervisor is killed, its *reaper* ends the children (see ``process_markers``). If the
  reaper is killed too, the next start ends the processes that have the marker of this home.
- A second supervisor of the same home is refused by a lock, which the kernel releases when the
  first one ends in any way.
"""

from __future__ import annotations

import logging
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, as_completed, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

import httpx

from service.embedded.child_commands import (
    EmbeddedSettings,
    mlflow_child,
    ray_child,
    reachable,
    service_child,
)
from service.embedded.child_process import Child, ChildSpec, StackEvent
from service.embedded.errors import EmbeddedError
from service.embedded.home import Home, occupy
from service.embedded.ports import Ports, claim_ports
from service.embedded.privacy import umask_for
from service.embedded.process_markers import end_marked, reaper
from service.settings import Settings

__all__ = ["Addresses", "EmbeddedStack"]

_log = logging.getLogger(__name__)

_DEFAULT_PORT: int = Settings.model_fields["port"].default
_ORPHAN_GRACE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs of a running stack."""

    service: str
    mlflow: str
    ray: str


class EmbeddedStack:
    """The service, Ray and MLflow on this machine.

    Args:
        settings: Settings of the service. ``home``, ``host`` and ``port`` are used here; all
            settings that were set are passed to the service.
        options: Settings of the embedded mode; by default from the environment.
        service_command: Program of the service, to which uvicorn's options are appended.
    """

    def __init__(
        self,
        settings: Settings,
        options: EmbeddedSettings | None = None,
        service_command: tuple[str, ...] = (sys.executable, "-m", "service.server"),
    ) -> None:
        self._settings = settings
        self._options = options or EmbeddedSettings()
        self._service_command = service_command
        self._ports: Ports | None = None
        self._children: list[Child] = []
        self._on_event: Callable[[StackEvent], None] = lambda _: None

    @property
    def addresses(self) -> Addresses:
        """URLs of the three servers.

        Raises:
            EmbeddedError: The stack does not run.
        """
        if self._ports is None:
            raise EmbeddedError("The stack has no addresses: it does not run.")
        return Addresses(
            service=f"http://{reachable(self._settings.host)}:{self._ports.service}",
            mlflow=f"http://127.0.0.1:{self._ports.mlflow}",
            ray=f"http://127.0.0.1:{self._ports.ray_dashboard}",
        )

    @contextmanager
    def running(self, on_event: Callable[[StackEvent], None] | None = None) -> Iterator[None]:
        """Run the stack during the block, which is entered when all three children are healthy.

        In the main thread SIGTERM and SIGHUP end the block with ``SystemExit``. At its end the
        children are stopped in the order service, Ray, MLflow, each with its process tree.

        Args:
            on_event: Called with each event, from several threads; it must not raise.

        Raises:
            EmbeddedError: The operating system is not Linux.
            HomeError: ``SASAM_HOME`` cannot be written or is in use.
            PortInUseError: A port set by the user is in use.
            ChildError: A child died or was not healthy in time.
        """
        if sys.platform != "linux":
            raise EmbeddedError(
                f"The embedded mode needs Linux, got {sys.platform}. Use Docker Compose instead."
            )
        self._on_event = on_event or (lambda _: None)
        with ExitStack() as resources:
            home = resources.enter_context(occupy(self._settings.home))
            ending = resources.enter_context(_EndingSignals())
            if orphans := end_marked(f"{home.identity}.", _ORPHAN_GRACE_SECONDS):
                self._notice(f"Ended {orphans} processes of a supervisor that was killed.")
            resources.callback(self._reset)
            self._ports = resources.enter_context(self._claim_ports(home))
            suffix = secrets.token_hex(2)
            marker, ray_folder = f"{home.identity}.{suffix}", home.ray_folder(suffix)
            resources.enter_context(reaper(marker, ray_folder, _ORPHAN_GRACE_SECONDS))
            client = resources.enter_context(httpx.Client(trust_env=False, timeout=2.0))
            logs = home.log_folder()
            self._children = [
                Child(
                    spec,
                    marker=marker,
                    folder=home.path,
                    log=logs / f"{spec.name}.log",
                    client=client,
                    start_seconds=self._options.start_seconds,
                    emit=self._emit,
                )
                for spec in self._specs(home, self._ports, ray_folder, client)
            ]
            try:
                for child in reversed(self._children):
                    resources.callback(child.stop)
                    child.start()
                for ready in as_completed([child.ready for child in self._children]):
                    ready.result()
                yield
            finally:
                ending.disarm()

    def wait(self) -> None:
        """Block until SIGINT, SIGTERM or SIGHUP.

        Raises:
            ChildError: A child died too often and is not restarted.
        """
        try:
            done, _ = wait([child.over for child in self._children], return_when=FIRST_COMPLETED)
        except (KeyboardInterrupt, _EndRequested):
            return
        for over in done:
            over.result()

    def _claim_ports(self, home: Home) -> AbstractContextManager[Ports]:
        """Choose the ports, first those set by the user."""
        fixed = {
            name: (port, variable)
            for name, port, variable in (
                ("service", self._fixed_service_port(), "SASAM_PORT"),
                ("mlflow", self._options.mlflow_port, "SASAM_MLFLOW_PORT"),
                ("ray_dashboard", self._options.ray_port, "SASAM_RAY_PORT"),
            )
            if port
        }
        return claim_ports(
            home.path / "ports.json",
            host=self._settings.host,
            first=_DEFAULT_PORT,
            fixed=fixed,
            on_move=self._notice,
        )

    def _fixed_service_port(self) -> int | None:
        """Return the service's port if the user set it, else None."""
        return self._settings.port if "port" in self._settings.model_fields_set else None

    def _specs(
        self, home: Home, ports: Ports, ray_folder: Path, client: httpx.Client
    ) -> list[ChildSpec]:
        """Describe the children in the order in which they are stopped."""
        token = home.token(self._settings.ray_token_path)
        return [
            service_child(self._settings, ports, token, self._service_command),
            ray_child(
                self._options, ports, token, ray_folder, client, umask=self._trials_umask(home)
            ),
            mlflow_child(home.path, ports),
        ]

    def _trials_umask(self, home: Home) -> int:
        """The umask for the files of drivers and trials."""
        folders = (Path(self._settings.resolved_scratch_path), self._settings.resolved_data_dir)
        return umask_for(home.path, *folders)

    def _reset(self) -> None:
        """Return to the state before the start, without children and ports."""
        self._ports = None
        self._children = []

    def _notice(self, message: str) -> None:
        self._emit(StackEvent("stack", "notice", message))

    def _emit(self, event: StackEvent) -> None:
        level = logging.WARNING if event.kind == "died" else logging.INFO
        _log.log(level, "%s: %s", event.child, event.message)
        self._on_event(event)


class _EndRequested(SystemExit):
    """SIGTERM or SIGHUP arrived; ends the program if it is not caught."""


class _EndingSignals:
    """Raises an exception in the main thread at the first ending signal and ignores later ones.

    The children are stopped in bounded time, which a second signal must not interrupt. A SIGHUP
    that is already ignored, as under ``nohup``, stays ignored; SIGINT, which a shell ignores for a
    background command of a script, does not.
    """

    def __init__(self) -> None:
        self._armed = True
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                is_ignored = signal.getsignal(number) is signal.SIG_IGN
                if number == signal.SIGINT or not is_ignored:
                    self._previous[number] = signal.signal(number, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def disarm(self) -> None:
        """Ignore all further signals."""
        self._armed = False

    def _end(self, number: int, _: FrameType | None) -> None:
        if not self._armed:
            return
        self._armed = False
        raise KeyboardInterrupt if number == signal.SIGINT else _EndRequested(128 + number)
