"""Writes corrupted images to disk, one file a cell (corruption, severity), in parallel.

Threads: the work is NumPy, SciPy, OpenCV and Pillow, which free the interpreter, and a thread
starts at once inside any process. A cell that exists is whole, so that work resumes by the cell.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from workers.corruptions.names import CORRUPTIONS, SEVERITIES
from workers.datasets.cache import require_space
from workers.datasets.dataset import Images
from workers.datasets.errors import InvalidRequestError

__all__ = ["CorruptionCell", "Progress", "require_cells", "save_images", "write_cells"]

Progress = Callable[[int, int], None]
"""Called with what is done and the total; from one thread at a time."""

_CHUNK_BYTES = 4 * 2**20  # made, written and reported at once


class CorruptionCell(NamedTuple):
    """One corruption at one severity."""

    corruption: str
    severity: int

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.corruption}-{self.severity}.npy"


def write_cells(
    folder: Path,
    cells: Iterable[CorruptionCell],
    make: Callable[[CorruptionCell, slice], Images],
    shape: tuple[int, int, int, int],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[CorruptionCell]:
    """Write the cells that ``folder`` lacks; yield each cell once it is there.

    Args:
        folder: Where the files go; made if absent.
        cells: The cells wanted.
        make: Returns the images of a cell at a slice of positions.
        shape: Of a cell: (images, height, width, channels).
        workers: Threads; as many as the process has processors by default.
        progress: Called with the images written and their total.

    Raises:
        InsufficientSpaceError: The disk is too small for what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(cells)
    missing = [cell for cell in wanted if not (folder / cell.file).exists()]
    cell_bytes = int(np.prod(shape))
    require_space(folder, len(missing) * cell_bytes, key="ood.corruptions")
    yield from (cell for cell in wanted if cell not in missing)

    chunk = max(1, _CHUNK_BYTES * shape[0] // cell_bytes)
    starts = range(0, shape[0], chunk)
    total, done, reporting = len(missing) * shape[0], 0, Lock()

    def report(images: int) -> None:
        nonlocal done
        with reporting:
            done += images
            if progress is not None:
                progress(done, total)

    def write(cell: CorruptionCell) -> CorruptionCell:
        unfinished = folder / f".{cell.file}.unfinished"

        def chunks() -> Iterator[Images]:
            for start in starts:
                images = make(cell, slice(start, start + chunk))
                yield images
                report(len(images))

        save_images(unfinished, shape, chunks())
        unfinished.replace(folder / cell.file)
        return cell

    pool = ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)))
    try:
        for future in as_completed([pool.submit(write, cell) for cell in missing]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def save_images(path: Path, shape: tuple[int, ...], chunks: Iterable[Images]) -> None:
    """Write consecutive parts of an array of this shape as one ``.npy`` file, to the disk."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).data)
        file.flush()
        os.fsync(file.fileno())


def require_cells(corruptions: Iterable[str], severities: Iterable[int]) -> list[CorruptionCell]:
    """Return the cells of these corruptions and severities, corruption by corruption.

    Raises:
        InvalidRequestError: One does not exist, is named twice, or none is named.
    """
    names, numbers = list(corruptions), list(severities)
    _require_known("ood.corruptions", names, CORRUPTIONS)
    _require_known("ood.severities", numbers, SEVERITIES)
    return [CorruptionCell(name, number) for name in names for number in numbers]


def _require_known(key: str, values: Sequence[object], allowed: Sequence[object]) -> None:
    """Raise InvalidRequestError unless all values are allowed, each once, at least one."""
    known = ", ".join(map(str, allowed))
    for value in values:
        if value not in allowed:
            raise InvalidRequestError(key, f"{value!r} does not exist", f"choose from {known}")
    if not values or len(set(values)) < len(values):
        raise InvalidRequestError(
            key, f"{list(values)} is empty or repeats one", f"choose from {known}, each once"
        )
