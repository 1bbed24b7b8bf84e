"""Data set of texts as tokens, in memory or mapped from disk, validated when created.

A text is cut into sequences of ``context + 1`` tokens that share none: the network sees the first
``context`` of a sequence and predicts the last ``context``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workers.datasets.cache import map_array, require_space, save_array
from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.errors import DamagedDataError

__all__ = ["TextDataset", "TokenSet", "Tokens", "as_sequences"]

Tokens = npt.NDArray[np.uint8]
"""Shape (sequences, context + 1)."""

_MOST_TOKENS = 256


@dataclass(frozen=True, slots=True, eq=False)
class TokenSet:
    """Sequences of tokens, shape (n, context + 1)."""

    tokens: Tokens

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def inputs(self) -> Tokens:
        """What the network sees, shape (n, context)."""
        return self.tokens[:, :-1]

    @property
    def labels(self) -> Tokens:
        """The next tokens, shape (n, context)."""
        return self.tokens[:, 1:]

    @property
    def strata(self) -> npt.NDArray[np.int64]:
        """One group: subsets of sequences are not balanced."""
        return np.zeros(len(self), np.int64)

    @property
    def stored(self) -> Tokens:
        """The array that is shared between processes."""
        return self.tokens

    def take(self, indices: npt.NDArray[np.int64], stored: Tokens | None = None) -> TokenSet:
        """The sequences at some indices; ``stored`` is their array if it exists already."""
        return TokenSet(self.tokens[indices] if stored is None else stored)


@dataclass(frozen=True, slots=True, eq=False)
class TextDataset:
    """Training and test sequences; created by `from_tokens`, which validates them.

    Args:
        name: Its name in a specification.
        train_tokens: uint8, shape (n, context + 1).
        test_tokens: As the training tokens.
        ood_tokens: Sequences out of distribution by set and severity.
        classes: Names of the tokens.
        is_consecutive: Whether the sequences follow each other in one text; a part that is held out
            is then its end, so that it shares no passage with the rest.
        fingerprint: SHA-256 of the arrays and names.
        notes: Sentences about the data that a user should know.
    """

    name: str
    train_tokens: Tokens
    test_tokens: Tokens
    ood_tokens: Mapping[CorruptionCell, Tokens]
    classes: tuple[str, ...]
    is_consecutive: bool
    fingerprint: str
    notes: tuple[str, ...] = ()

    @classmethod
    def from_tokens(
        cls,
        name: str,
        train: Tokens,
        test: Tokens,
        ood: Mapping[CorruptionCell, Tokens],
        classes: tuple[str, ...],
        *,
        is_consecutive: bool = False,
        notes: tuple[str, ...] = (),
    ) -> TextDataset:
        """Validate the tokens and compute the fingerprint.

        Raises:
            DamagedDataError: Shapes, types or tokens are wrong.
        """
        parts = {"training": train, "test": test} | {cell.file: part for cell, part in ood.items()}
        digest = hashlib.sha256(json.dumps([list(classes), *parts]).encode())
        for part, tokens in parts.items():
            shape = (len(tokens), train.shape[-1])
            if tokens.dtype != np.uint8 or tokens.shape != shape or not tokens.size:
                raise DamagedDataError(
                    "dataset.name",
                    f"{name}: {part} tokens are {tokens.dtype} of shape {tokens.shape}",
                    "give uint8 of one shape (sequences, context + 1), at least one sequence",
                )
            if tokens.max() >= len(classes) or len(classes) > _MOST_TOKENS:
                raise DamagedDataError(
                    "dataset.name",
                    f"{name}: {part} tokens reach {tokens.max()} of {len(classes)}",
                    f"number at most {_MOST_TOKENS} tokens from 0",
                )
            digest.update(repr(shape).encode() + np.ascontiguousarray(tokens).data)
        fingerprint = digest.hexdigest()
        return cls(name, train, test, dict(ood), classes, is_consecutive, fingerprint, notes)

    @property
    def train(self) -> TokenSet:
        """All training sequences."""
        return TokenSet(self.train_tokens)

    @property
    def test(self) -> TokenSet:
        """All test sequences."""
        return TokenSet(self.test_tokens)

    @property
    def context(self) -> int:
        """Tokens that the network sees at once."""
        return int(self.train_tokens.shape[1]) - 1

    @property
    def examples(self) -> str:
        """What its examples are, in words."""
        return f"sequences of {self.context} tokens out of {len(self.classes)}"

    def save(self, folder: Path) -> None:
        """Write the data set to an existing folder, for `open`."""
        arrays = {"train.npy": self.train_tokens, "test.npy": self.test_tokens}
        arrays |= {cell.file: tokens for cell, tokens in self.ood_tokens.items()}
        size = sum(tokens.nbytes for tokens in arrays.values())
        require_space(folder, size, key="dataset.name")
        for file, tokens in arrays.items():
            save_array(folder / file, tokens)
        facts = {
            "name": self.name,
            "classes": self.classes,
            "ood": list(self.ood_tokens),
            "is_consecutive": self.is_consecutive,
            "fingerprint": self.fingerprint,
            "notes": self.notes,
        }
        (folder / "dataset.json").write_text(json.dumps(facts))

    @classmethod
    def open(cls, folder: Path) -> TextDataset:
        """Map a data set that `save` wrote.

        Raises:
            ValueError: A file is damaged.
            OSError: A file is missing.
        """
        facts: dict[str, Any] = json.loads((folder / "dataset.json").read_text())
        cells = [CorruptionCell(*cell) for cell in facts["ood"]]
        return cls(
            name=facts["name"],
            train_tokens=map_array(folder / "train.npy"),
            test_tokens=map_array(folder / "test.npy"),
            ood_tokens={cell: map_array(folder / cell.file) for cell in cells},
            classes=tuple(facts["classes"]),
            is_consecutive=facts["is_consecutive"],
            fingerprint=facts["fingerprint"],
            notes=tuple(facts["notes"]),
        )


def as_sequences(tokens: Tokens, context: int) -> Tokens:
    """Cut a text into sequences of ``context + 1`` tokens; an incomplete last one is left out."""
    length = context + 1
    return tokens[: len(tokens) // length * length].reshape(-1, length)
