"""``zipf-grammar``: sentences of a random context-free grammar with Zipf-distributed words.

    grammar    K categories of words and K phrases; a phrase has R rules of two or three symbols,
               categories or phrases; the r-th rule has probability r^-1 / sum (Zipf)
    words      each category has its own V / K words; the r-th has probability r^-a / sum (Zipf)
    text       sentences derived from phrase 0, each closed by the token 0, one after the other

Everything follows from ``seed``: the same options give the same tokens on every machine. Out of
distribution, at severities s = 1 .. 5:

    zipf       the exponent is a (1 - s / 5): at 5 the words of a category are equally frequent
    grammar    each rule is replaced with probability s / 5 by one of another grammar; at 5 all are

Source of the idea: word frequencies of natural language follow Zipf's law (Zipf 1949), which is
what separates Adam from SGD on language (Kunstner et al. 2024, "Heavy-tailed class imbalance and
why Adam outperforms gradient descent on language models").
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from workers.datasets.corruption_cells import CorruptionCell
from workers.datasets.dataset_source import DatasetSource, require_known_options
from workers.datasets.errors import InvalidRequestError
from workers.datasets.options import number_option, whole_option
from workers.datasets.text_dataset import TextDataset, Tokens, as_sequences
from workers.tasks import TEXT_SHIFTS

__all__ = ["zipf_grammar"]

_OPTIONS = ("vocabulary", "context", "exponent", "rules", "train", "test", "seed")
_CATEGORIES = 8
_SEVERITIES = 5
_MAX_DEPTH = 4
"""Phrases within phrases; a deeper one is a word of the category with its number."""
_VERSION = 1  # increased when the same options give other tokens
_DRAWS = 4096

Rule = tuple[int, ...]
"""Symbols: categories are 0 .. K - 1, phrases K .. 2 K - 1."""


@dataclass(frozen=True, slots=True)
class _Grammar:
    """Rules of each phrase, and cumulative probabilities of rules and of words."""

    rules: tuple[tuple[Rule, ...], ...]
    rule_shares: tuple[float, ...]
    words: tuple[tuple[int, ...], ...]
    word_shares: tuple[tuple[float, ...], ...]


def zipf_grammar(options: Mapping[str, Any], data_dir: Path) -> DatasetSource:
    """Return a data set made from a seed.

    Options: ``vocabulary`` in [16, 256] (64), ``context`` in [2, 4096] (32), ``exponent`` in [0, 4]
    (1.2), ``rules`` of each phrase in [1, 16] (4), ``train`` and ``test`` sequences (2,048 and
    256), ``seed`` (0).

    Raises:
        InvalidRequestError: An option is unknown or out of its range.
    """
    del data_dir
    require_known_options("zipf-grammar", options, allowed=_OPTIONS)
    chosen = (
        whole_option(options, "vocabulary", 64, 16, 256),
        whole_option(options, "context", 32, 2, 4096),
        number_option(options, "exponent", 1.2, 0, 4),
        whole_option(options, "rules", 4, 1, 16),
        whole_option(options, "train", 2048, 2, 1_000_000),
        whole_option(options, "test", 256, 1, 100_000),
        whole_option(options, "seed", 0, 0, 2**32 - 1),
    )
    if (chosen[4] + chosen[5] * (2 * _SEVERITIES + 1)) * (chosen[1] + 1) > 2**28:
        raise InvalidRequestError(
            "dataset.kwargs.train", "more than 268,435,456 tokens", "make it or context smaller"
        )
    return DatasetSource(
        repr(("zipf-grammar", _VERSION, chosen)), lambda: _build(*chosen), open=TextDataset.open
    )


def _build(
    vocabulary: int, context: int, exponent: float, rules: int, train: int, test: int, seed: int
) -> TextDataset:
    """Derive training, test and OOD sequences, each from a stream of its own."""

    def stream(*purpose: int) -> np.random.Generator:
        return np.random.default_rng((seed, *purpose))

    own, other = (_rules(stream(0, number), rules) for number in (0, 1))
    words = tuple(
        tuple(range(1 + category, vocabulary, _CATEGORIES)) for category in range(_CATEGORIES)
    )

    def grammar(rules: tuple[tuple[Rule, ...], ...], power: float) -> _Grammar:
        shares = tuple(_zipf(len(of_category), power) for of_category in words)
        return _Grammar(rules, _zipf(len(rules[0]), 1.0), words, shares)

    def sequences(of: _Grammar, count: int, *purpose: int) -> Tokens:
        length = count * (context + 1)
        text = islice(_sentences(of, stream(*purpose)), length)
        return as_sequences(np.fromiter(text, np.uint8, length), context)

    plain = grammar(own, exponent)
    ood: dict[CorruptionCell, Tokens] = {}
    for severity in range(1, _SEVERITIES + 1):
        share = severity / _SEVERITIES
        flat = grammar(own, exponent * (1 - share))
        mixed = grammar(_mixed(own, other, share, stream(1)), exponent)
        ood[CorruptionCell("zipf", severity)] = sequences(flat, test, 4, severity)
        ood[CorruptionCell("grammar", severity)] = sequences(mixed, test, 5, severity)
    return TextDataset.from_tokens(
        "zipf-grammar",
        sequences(plain, train, 2),
        sequences(plain, test, 3),
        {
            cell: tokens
            for name in TEXT_SHIFTS
            for cell, tokens in ood.items()
            if cell.corruption == name
        },
        tuple(map(str, range(vocabulary))),
    )


def _rules(generator: np.random.Generator, count: int) -> tuple[tuple[Rule, ...], ...]:
    """Random rules of each phrase."""
    return tuple(
        tuple(
            tuple(generator.integers(2 * _CATEGORIES, size=generator.integers(2, 4)).tolist())
            for _ in range(count)
        )
        for _ in range(_CATEGORIES)
    )


def _mixed(
    own: tuple[tuple[Rule, ...], ...],
    other: tuple[tuple[Rule, ...], ...],
    share: float,
    generator: np.random.Generator,
) -> tuple[tuple[Rule, ...], ...]:
    """Own rules with a share of them replaced; a larger share replaces all that a smaller does."""
    return tuple(
        tuple(
            theirs if generator.random() < share else mine
            for mine, theirs in zip(rules, others, strict=True)
        )
        for rules, others in zip(own, other, strict=True)
    )


def _zipf(count: int, exponent: float) -> tuple[float, ...]:
    """Cumulative probabilities of ranks 1 .. count, proportional to rank^-exponent."""
    cumulated = np.cumsum(np.arange(1, count + 1, dtype=np.float64) ** -exponent)
    return tuple((cumulated / cumulated[-1]).tolist())


def _sentences(grammar: _Grammar, generator: np.random.Generator) -> Iterator[int]:
    """An endless text."""
    draws = _uniform(generator)

    def choose(shares: Sequence[float]) -> int:
        return min(bisect_right(shares, next(draws)), len(shares) - 1)

    while True:
        stack = [(_CATEGORIES, 0)]  # symbols still to be derived, with their depths
        while stack:
            symbol, depth = stack.pop()
            if symbol >= _CATEGORIES and depth < _MAX_DEPTH:
                rule = grammar.rules[symbol - _CATEGORIES][choose(grammar.rule_shares)]
                stack += [(part, depth + 1) for part in reversed(rule)]
            else:
                category = symbol % _CATEGORIES
                yield grammar.words[category][choose(grammar.word_shares[category])]
        yield 0


def _uniform(generator: np.random.Generator) -> Iterator[float]:
    """Numbers in [0, 1), drawn in blocks."""
    while True:
        yield from generator.random(_DRAWS).tolist()
