"""Checks of ``sasam doctor`` on the machine: packages, GPUs, memory, limits."""

from __future__ import annotations

import json
import locale
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from service.cli.findings import Finding, error, ok, warning
from service.settings import Settings

__all__ = [
    "check_locale",
    "check_memory",
    "check_open_files",
    "check_packages",
    "check_python",
    "check_shared_memory",
    "check_torch",
]

_GIB = 2**30
_MIN_MEMORY_BYTES = 2 * _GIB  # Ray, MLflow and the service together take about 1.5 GiB
_MIN_SHARED_BYTES = 256 * 2**20  # Ray's object store: 200 MB, see EmbeddedSettings
_MIN_OPEN_FILES = 4096  # below it, Ray warns
_TORCH_TIMEOUT_SECONDS = 120.0
_TORCH_PROGRAM = """
import json, torch
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus,
                  "available": torch.cuda.is_available()}))
"""


def check_python(_: Settings) -> Finding:
    """Check the operating system."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform != "linux":
        return warning(f"{version} on {sys.platform}", "trials are tested on Linux only")
    return ok(f"{version} at {sys.executable}")


def check_packages(_: Settings) -> Finding:
    """Check that the requirements of the extras are installed in the required versions."""
    from importlib.metadata import version

    unmet = list(_unmet_requirements())
    if unmet:
        return error("; ".join(unmet), "pip install --upgrade 'sasam[workers,service]'")
    shown = ", ".join(f"{name} {version(name)}" for name in ("sasam", "ray", "mlflow", "optuna"))
    return ok(f"{shown}; all other requirements are met")


def _unmet_requirements() -> Iterator[str]:
    """Describe each requirement of the extras that is not met."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    for line in requires("sasam") or ():
        required = Requirement(line)
        extras = ({"extra": extra} for extra in ("", "workers", "service"))
        if required.marker is not None and not any(map(required.marker.evaluate, extras)):
            continue
        try:
            found = version(required.name)
        except PackageNotFoundError:
            yield f"{required.name} is missing"
        else:
            if not required.specifier.contains(found, prereleases=True):
                yield f"{required.name} {found} is not {required.specifier}"


def check_torch(_: Settings) -> Finding:
    """Check PyTorch and its GPUs in a separate process: the command line does not import torch."""
    probe = subprocess.run(  # noqa: S603 - own program
        [sys.executable, "-c", _TORCH_PROGRAM],
        capture_output=True,
        text=True,
        timeout=_TORCH_TIMEOUT_SECONDS,
    )
    if probe.returncode:
        reason = (probe.stderr.strip().splitlines() or ["it ended without a message"])[-1]
        return error(reason, "install PyTorch for this machine: https://pytorch.org/get-started")
    found = json.loads(probe.stdout.splitlines()[-1])
    if found["gpus"]:
        return ok(f"{found['torch']}, CUDA {found['cuda']}, {', '.join(found['gpus'])}")
    if found["cuda"] and shutil.which("nvidia-smi"):
        return error(
            f"{found['torch']} is built for CUDA {found['cuda']} and finds no GPU",
            "compare with the driver's CUDA version in nvidia-smi, and look at "
            "CUDA_VISIBLE_DEVICES",
        )
    return ok(f"{found['torch']}, no GPU: trials train on the CPU")


def check_memory(_: Settings) -> Finding:
    """Check that Ray, MLflow and the service fit into the available memory."""
    available = _available_memory_bytes()
    message = f"{available / _GIB:.1f} GiB available"
    if available < _MIN_MEMORY_BYTES:
        least = _MIN_MEMORY_BYTES // _GIB
        return warning(f"{message}, less than {least}", "close programs, or raise the limit")
    return ok(message)


def _available_memory_bytes() -> int:
    """Return the available memory, within the limit of the container if there is one."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":") for line in lines)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # there is no limit
        return available
    return min(available, limit - used)


def check_shared_memory(_: Settings) -> Finding:
    """Check that Ray's object store fits into shared memory."""
    folder = Path("/dev/shm")  # noqa: S108 - where Ray keeps its objects
    if not folder.is_dir():
        return warning(f"there is no {folder}", "Ray keeps objects on disk instead, slowly")
    free = shutil.disk_usage(folder).free
    message = f"{free / 2**20:.0f} MiB free at {folder}"
    if free < _MIN_SHARED_BYTES:
        return warning(message, "start the container with --shm-size=1g")
    return ok(message)


def check_open_files(_: Settings) -> Finding:
    """Check the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MIN_OPEN_FILES:
        can_raise = hard == resource.RLIM_INFINITY or hard >= _MIN_OPEN_FILES
        remedy = f"ulimit -n {_MIN_OPEN_FILES}" if can_raise else "raise the system's limit"
        return warning(f"at most {soft}", remedy)
    return ok("no limit" if soft == resource.RLIM_INFINITY else f"at most {soft}")


def check_locale(_: Settings) -> Finding:
    """Check that text is UTF-8."""
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        return warning(f"text is {encoding}", "export LC_ALL=C.UTF-8")
    return ok(f"text is {encoding}")
