"""``text-file``: any file as bytes, the last part held out for the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.errors import InvalidRequestError, MissingDataError
from workers.datasets.options import allowed_path, fraction_option, whole_option
from workers.datasets.text_dataset import TextDataset, Tokens, as_sequences

__all__ = ["text_file"]

_OPTIONS = ("path", "context", "test_fraction", "ood")
_MAX_BYTES = 2**30
_MAX_NAME = 60
_BYTES = tuple(map(str, range(256)))


def text_file(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return a file as sequences of bytes; the test sequences are its end.

    Options: ``path`` (relative to ``data_dir`` or absolute), ``context`` in [2, 4096] (128) bytes
    that the network sees at once, ``test_fraction`` of the file (0.1), ``ood``: other files by a
    name of each, such as ``{wiki: wiki.txt}``, all of which are OOD sets.

    Raises:
        MissingDataError: A file is missing.
        InvalidRequestError: An option is unknown or out of its range, a path leads elsewhere, or a
            file is too short or too long.
    """
    require_known_options("text-file", options, allowed=_OPTIONS)
    context = whole_option(options, "context", 128, 2, 4096)
    fraction = fraction_option(options, "test_fraction", 0.1)
    path = _file(options.get("path"), "dataset.kwargs.path", data_dir)
    others = options.get("ood", {})
    if not isinstance(others, dict):
        raise InvalidRequestError(
            "dataset.kwargs.ood", f"{others!r}"[:200], "give a mapping of names to files"
        )
    for name in others:
        plain = name.replace("_", "").replace("-", "") if isinstance(name, str) else ""
        if not plain.isalnum() or len(name) > _MAX_NAME:
            raise InvalidRequestError(
                "dataset.kwargs.ood",
                f"the name {name!r}"[:_MAX_NAME],
                f"name a set with at most {_MAX_NAME} letters, digits, - and _",
            )
    ood = {
        name: _file(other, f"dataset.kwargs.ood.{name}", data_dir) for name, other in others.items()
    }
    states = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (path, *ood.values())
    ]

    def build() -> TextDataset:
        sequences = _sequences(path, context, "dataset.kwargs.path", fewest=2)
        held_out = min(max(1, round(fraction * len(sequences))), len(sequences) - 1)
        return TextDataset.from_tokens(
            "text-file",
            sequences[:-held_out],
            sequences[-held_out:],
            {
                CorruptionCell(name, 1): _sequences(file, context, f"dataset.kwargs.ood.{name}")
                for name, file in ood.items()
            },
            _BYTES,
            is_consecutive=True,
            notes=_notes(path),
        )

    key = repr(("text-file", context, fraction, list(ood), states))
    return DatasetSource(key, build, open=TextDataset.open)


def _file(path: object, key: str, data_dir: Path) -> Path:
    """Return a file that may be read and is of a usable size."""
    if not isinstance(path, str):
        raise InvalidRequestError(key, "text-file has no file to read", "name one")
    found = allowed_path(data_dir, path, key=key, what="the file")
    if not found.is_file():
        raise MissingDataError(key, f"{path[:200]!r} is no file", "name an existing one")
    size = found.stat().st_size
    if size > _MAX_BYTES:
        raise InvalidRequestError(
            key, f"{path[:200]!r} has {size:,} bytes", f"give a file of at most {_MAX_BYTES:,}"
        )
    return found


def _sequences(path: Path, context: int, key: str, fewest: int = 1) -> Tokens:
    """Return the sequences of a file, at least ``fewest``."""
    tokens = np.frombuffer(path.read_bytes(), np.uint8)
    if len(tokens) < fewest * (context + 1):
        raise InvalidRequestError(
            "dataset.kwargs.context" if key.endswith("path") else key,
            f"{len(tokens):,} bytes are fewer than {fewest} x (context {context} + 1)",
            "make context smaller, or give a longer file",
        )
    return as_sequences(tokens, context)


def _notes(path: Path) -> tuple[str, ...]:
    """A remark if the file does not look like text."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return (f"the file is not UTF-8 from byte {error.start:,} on; it is read as bytes",)
    return ()
