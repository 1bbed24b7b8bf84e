"""Files of corrupted images, one per cell (corruption, severity), written in parallel.

Threads are enough: NumPy, SciPy, OpenCV and Pillow release the interpreter lock. A file that exists
is complete, so that interrupted work resumes with the next cell.
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
"""Called with the completed amount and the total, from one thread at a time."""

_CHUNK_BYTES = 4 * 2**20  # generated, written and reported at once


class CorruptionCell(NamedTuple):
    """One corruption at one severity."""

    corruption: str
    severity: int

    @property
    def file(self) -> str:
        """File name."""
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
    """Write the missing cells of ``folder``; yield each cell when its file exists.

    Args:
        folder: Folder of the files; created if missing.
        cells: The requested cells.
        make: Returns the images of a cell at a slice of positions.
        shape: Shape of a cell: (images, height, width, channels).
        workers: Number of threads; by default the number of processors.
        progress: Called with the images written and their total.

    Raises:
        InsufficientSpaceError: The disk is too small for the missing cells.
    """
    folder.mkdir(parents=True, exist_ok=True)
    requested = list(cells)
    missing = [cell for cell in requested if not (folder / cell.file).exists()]
    cell_bytes = int(np.prod(shape))
    require_space(folder, len(missing) * cell_bytes, key="ood.corruptions")
    yield from (cell for cell in requested if cell not in missing)

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
    """Write consecutive parts of an array as one ``.npy`` file and flush it to the disk."""
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
        InvalidRequestError: A value is unknown or repeated, or a list is empty.
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
