"""Checkpoints: one file per trial, written atomically, read without executing code.

A file holds tensors and plain values, nothing that unpickling could execute. A process killed at
any moment leaves the previous checkpoint or the new one.
"""

from __future__ import annotations

import logging
import pickle
from typing import Any

import torch

from workers.durable_storage import S3Path, Stored, reading, writing

__all__ = ["load_checkpoint", "save_checkpoint"]

log = logging.getLogger(__name__)

State = dict[str, Any]

FORMAT = 2
"""Increased when the content of checkpoints changes incompatibly."""


def save_checkpoint(path: Stored, state: State) -> None:
    """Write ``state``, tensors and plain values, to ``path``.

    Raises:
        OSError: The file cannot be written.
    """
    with writing(path) as file:
        torch.save({"format": FORMAT, "state": state}, file)


def load_checkpoint(path: Stored) -> State | None:
    """Read a checkpoint to the CPU; None if there is none that this version can resume from.

    A damaged file is ignored with a warning: the trial starts again.

    Raises:
        OSError: S3 is unavailable.
    """
    try:
        with reading(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        if content["format"] == FORMAT:
            state: State = content["state"]
            return state
        problem = f"its format is {content['format']}, this version reads {FORMAT}"
    except FileNotFoundError:
        return None
    except (OSError, EOFError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        if isinstance(path, S3Path) and isinstance(error, OSError):
            raise  # there may be a checkpoint
        problem = str(error)
    log.warning("checkpoint %s is not usable, the trial starts again: %s", path, problem)
    return None
