"""Processor time and memory of the product's processes, by role.

    with Costs(home) as costs: ...
    costs.seconds, costs.memory_mb

Every process of a home carries its path in the environment. A thread reads their times every second
and keeps the last reading of those that have ended, so up to a second of each is missed.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import Self

__all__ = ["Costs"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
_SAMPLE_SECONDS = 1.0
_ROLES = {
    "-m workers.driver": "driver",
    "ray::ResourceTrainable": "trials",
    "ray::SweepTrial": "trials",
    "ray::_preflight": "preflight",
    "mlflow": "MLflow",
    "service.server": "service",
    "gcs_server": "Ray's GCS",
    "/raylet ": "raylet",
    "ray::IDLE": "idle Ray workers",
    "dashboard": "Ray's dashboard and agents",
    "Dashboard": "Ray's dashboard and agents",
    "RuntimeEnvAgent": "Ray's dashboard and agents",
    "runtime_env_agent": "Ray's dashboard and agents",
    "log_monitor": "Ray's dashboard and agents",
    "ray::JobSupervisor": "Ray's dashboard and agents",
}


class Costs:
    """Processor seconds and largest memory by role, while the block runs.

    Args:
        home: ``SASAM_HOME`` of the processes.
    """

    def __init__(self, home: Path) -> None:
        self._entry = f"\0SASAM_HOME={home}\0".encode()
        self._seconds: dict[int, tuple[str, float]] = {}
        self._before: dict[int, float] = {}
        self._memory: dict[str, float] = defaultdict(float)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._before = {pid: seconds for pid, (_, seconds) in self._seconds.items()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._sample()

    @property
    def seconds(self) -> dict[str, float]:
        """Processor seconds by role since the block was entered, largest first."""
        sums: dict[str, float] = defaultdict(float)
        for pid, (role, seconds) in list(self._seconds.items()):
            sums[role] += seconds - self._before.get(pid, 0.0)
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    @property
    def memory_mb(self) -> dict[str, float]:
        """Largest resident memory of a process, by role, in MB."""
        return dict(self._memory)

    def _watch(self) -> None:
        while not self._stopping.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    self._read(folder)
                except OSError:
                    continue  # it has ended

    def _read(self, folder: Path) -> None:
        pid = int(folder.name)
        if pid == os.getpid() or self._entry not in b"\0" + (folder / "environ").read_bytes():
            return
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        role = next((role for title, role in _ROLES.items() if title in command), "other")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if not command:
            return
        known = self._seconds.get(pid)
        if role == "idle Ray workers" and known is not None:
            role = known[0]  # a trial's process that has no trial at the moment
        self._seconds[pid] = (role, (int(fields[11]) + int(fields[12])) * _TICK)
        pages = int((folder / "statm").read_text().split()[1])
        self._memory[role] = max(self._memory[role], pages * _PAGE_MB)
