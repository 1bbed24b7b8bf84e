"""Random streams of a trial, derived from its seed alone.

Every use of randomness has a stream of its own, identified by its purpose and, if it recurs, by the
epoch. A resumed epoch therefore draws the same numbers in any process, and no state of a generator
needs saving.
"""

from __future__ import annotations

import hashlib
import os

import torch

__all__ = ["derive_seed", "make_deterministic", "seed_global_generator", "stream"]


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return 63 bits that depend only on the arguments and differ between purposes."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a generator on the CPU, so that its draws do not depend on the device of the trial."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, epoch))


def seed_global_generator(seed: int, purpose: str, epoch: int = 0, *, device: torch.device) -> None:
    """Seed the generators that layers draw from: the CPU's, and those of the other devices.

    For a trial on the CPU the others are left alone: unless they are in use, ``torch.manual_seed``
    formats the whole stack of calls, 0.2 ms and more.
    """
    derived = derive_seed(seed, purpose, epoch)
    if device.type == "cpu":
        torch.default_generator.manual_seed(derived)
    else:
        torch.manual_seed(derived)


def make_deterministic() -> None:
    """Choose deterministic algorithms for the whole process; call it before CUDA starts.

    An operator without a deterministic algorithm warns and runs: models of other libraries may have
    one.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Filling every new tensor finds reads of uninitialised memory; it costs one kernel per tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
