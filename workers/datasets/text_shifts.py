"""OOD sets of a text data set: sequences by set and severity, each with its own next tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.errors import InvalidRequestError
from workers.datasets.text_dataset import TextDataset, TokenSet

__all__ = ["ShiftedTexts", "shifted_texts"]


@dataclass(frozen=True, slots=True, eq=False)
class ShiftedTexts:
    """Sequences out of distribution.

    Args:
        cells: As many sequences for each set and severity.
        fingerprint: SHA-256 of what determines them.
    """

    cells: Mapping[CorruptionCell, TokenSet]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.cells)

    def __iter__(self) -> Iterator[tuple[CorruptionCell, TokenSet]]:
        return iter(self.cells.items())

    @property
    def sets(self) -> list[TokenSet]:
        """The sequences of each cell."""
        return list(self.cells.values())

    def stratified_subset(self, size: int, *, seed: int) -> TokenSet:
        """Return a fixed subset, spread evenly over the sets and severities.

        Args:
            size: Number of sequences; all if it exceeds their number.
            seed: Seed of the choice.

        Raises:
            InvalidRequestError: ``size`` is not positive.
        """
        if size < 1:
            raise InvalidRequestError("curvature.images", f"{size} sequences", "give 1 or more")
        generator = np.random.default_rng(seed)
        each, more = divmod(min(size, sum(map(len, self.sets))), len(self))
        lucky = set(generator.permutation(len(self))[:more].tolist())
        chosen = [
            cell.tokens[np.sort(generator.permutation(len(cell))[: each + (at in lucky)])]
            for at, cell in enumerate(self.sets)
        ]
        return TokenSet(np.concatenate(chosen))


def shifted_texts(
    dataset: TextDataset,
    names: str | Sequence[str],
    severities: Sequence[int],
    *,
    sequences: int | None = None,
    seed: int = 0,
) -> ShiftedTexts:
    """Return the OOD sets of a text data set.

    Args:
        dataset: The data set.
        names: Names of the sets; ``all`` or ``benchmark`` for all.
        severities: Severities in the requested order; a set without severities is used as it is.
        sequences: Sequences per set and severity, drawn at random; by default all.
        seed: Seed of the choice.

    Raises:
        InvalidRequestError: The data set has no such OOD set, or fewer sequences.
    """
    known = tuple(dict.fromkeys(cell.corruption for cell in dataset.ood_tokens))
    wanted = known if isinstance(names, str) else tuple(names)
    if not known:
        raise InvalidRequestError(
            "ood", f"{dataset.name} has no OOD sets", "set ood: null, or name some in its options"
        )
    for name in wanted:
        if name not in known:
            raise InvalidRequestError(
                "ood.corruptions",
                f"{dataset.name} has no OOD set {name}",
                f"choose from {', '.join(known)}",
            )
    cells = {
        cell: TokenSet(dataset.ood_tokens[cell])
        for name in wanted
        for cell in _cells(dataset, name, severities)
    }
    if not cells:
        given = ", ".join(map(str, severities))
        raise InvalidRequestError(
            "ood.severities", f"no OOD set of {dataset.name} has severity {given}", "give another"
        )
    fewest = min(map(len, cells.values()))
    size = fewest if sequences is None else sequences
    if size > fewest:
        raise InvalidRequestError(
            "ood.images", f"{size} sequences are requested", f"1 to {fewest} can be used"
        )
    generator = np.random.default_rng(seed)
    chosen = {
        cell: found.take(np.sort(generator.permutation(len(found))[:size]))
        if size < len(found)
        else found
        for cell, found in cells.items()
    }
    text = f"{dataset.fingerprint} {size} {seed} {list(chosen)}"
    return ShiftedTexts(chosen, hashlib.sha256(text.encode()).hexdigest())


def _cells(dataset: TextDataset, name: str, severities: Sequence[int]) -> Iterator[CorruptionCell]:
    """The cells of a set in the order of the severities; of a set with one severity that one."""
    known = [cell for cell in dataset.ood_tokens if cell.corruption == name]
    if len(known) == 1:
        yield known[0]
        return
    wanted = [CorruptionCell(name, severity) for severity in severities]
    yield from (cell for cell in wanted if cell in known)
