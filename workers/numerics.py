"""Numerics of a trial: what its numbers depend on beside its configuration, as one line of text.

    code        digest of the sources of ``sasam`` and ``workers``
    libraries   version of torch, and a digest of the names and versions of all installed packages
    device      model and capability of the CPU, or model of the GPU with cuDNN, and threads
    data        fingerprint of the data

Two trials with one key and equal numerics have equal results. A process computes the text where the
trial runs, because nodes of a cluster can differ.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

__all__ = ["MIXED_NUMERICS", "describe_numerics"]

MIXED_NUMERICS = "mixed"
"""Numerics of a trial that may have been resumed under other numerics; equal to no others."""

_PACKAGES = ("sasam", "workers")
"""Packages whose code trials run."""
_DIGITS = 16


def describe_numerics(device: torch.device, data_fingerprint: str) -> str:
    """The numerics of trials that this process runs.

    Args:
        device: Where they train.
        data_fingerprint: Fingerprint of their data.
    """
    parts = (
        f"sasam {_own_version()} {_code_digest()}",
        f"torch {torch.__version__}",
        f"packages {_packages_digest()}",
        _device(device),
        f"threads {torch.get_num_threads()}",
        f"data {data_fingerprint}",
    )
    return "; ".join(part.replace("'", "").replace(";", ",") for part in parts)


def _device(device: torch.device) -> str:
    """The device as one part of the text."""
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call] # torch has no type
        return f"cuda {torch.cuda.get_device_name(device)} cudnn {cudnn}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{device.type} {_cpu_model()} {capability}"


@cache
def _cpu_model() -> str:
    """Model of the CPU; its architecture where the system does not give the model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return " ".join(next(models, platform.machine()).split())


@cache
def _own_version() -> str:
    return version("sasam")


@cache
def _code_digest() -> str:
    """Digest of the sources of the packages whose code trials run."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:_DIGITS]


@cache
def _packages_digest() -> str:
    """Digest of the installed packages, by the names of their metadata, which have the versions."""
    names = {path.name for folder in sys.path for path in Path(folder).glob("*.dist-info")}
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:_DIGITS]
