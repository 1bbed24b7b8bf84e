"""Checkpoints: one file a trial, written whole or not at all, read without running code.

A file holds tensors and plain values, nothing that unpickling could execute. It is written under
another name, brought to the disk and renamed: a process killed at any moment leaves the former
checkpoint or the new one.
"""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import torch

__all__ = ["load_checkpoint", "save_checkpoint"]

log = logging.getLogger(__name__)

State = dict[str, Any]

FORMAT = 1
"""Rises when a checkpoint's content changes, so that an older one is not taken for a new one."""


def save_checkpoint(path: Path, state: State) -> None:
    """Write ``state``, tensors and plain values, to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            torch.save({"format": FORMAT, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> State | None:
    """Read a checkpoint to the CPU; None where there is none that this version can go on from.

    A damaged file costs the epochs it held and a warning, not the trial.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] == FORMAT:
            state: State = content["state"]
            return state
        problem = f"its format is {content['format']}, this version reads {FORMAT}"
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        problem = str(error)
    log.warning("checkpoint %s is not usable, the trial starts again: %s", path, problem)
    return None
