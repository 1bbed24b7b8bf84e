"""Where a trial's randomness comes from: its seed and nothing else.

Every use of randomness has a stream of its own, named by its purpose and, where it recurs, by the
epoch. So a resumed epoch draws what it would have drawn, whatever process runs it, and no state of
a generator needs saving.
"""

from __future__ import annotations

import hashlib
import os

import torch

__all__ = ["derive_seed", "make_deterministic", "stream"]


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return 63 bits that depend on the arguments alone and differ between any two purposes."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a generator on the CPU, so that its draws do not depend on the device of the trial."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, epoch))


def make_deterministic() -> None:
    """Choose deterministic algorithms for the whole process; call it before CUDA starts.

    An operator that has none warns and runs: a model of another library may hold one.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # Filling every new tensor finds reads of uninitialised memory; it costs a kernel a tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
