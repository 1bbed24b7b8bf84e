"""Text data sets: a grammar made from a seed, files as bytes, their OOD sets and splits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workers.datasets import (
    CorruptionCell,
    DatasetError,
    InvalidRequestError,
    load_dataset,
    shifted_texts,
    split,
    stratified_subset,
)
from workers.datasets.text_dataset import as_sequences

SMALL = {"context": 8, "train": 200, "test": 50}


@pytest.fixture
def grammar(tmp_path):
    def load(**options):
        return load_dataset("zipf-grammar", options=SMALL | options, data_dir=tmp_path)

    return load


@pytest.fixture
def text_file(tmp_path):
    def load(content=None, **options):
        if content is not None:
            (tmp_path / "text.txt").write_bytes(content)
        given = {"path": "text.txt", "context": 9} | options
        return load_dataset("text-file", options=given, data_dir=tmp_path)

    return load


@pytest.mark.slow
def test_grammar_follows_from_its_seed(grammar, tmp_path):
    one, again = grammar(), load_dataset("zipf-grammar", options=SMALL, data_dir=tmp_path / "b")
    assert one.fingerprint == again.fingerprint
    assert grammar(seed=1).fingerprint != one.fingerprint
    assert one.train_tokens.shape == (200, 9)
    assert one.train_tokens[0].tolist() == again.train_tokens[0].tolist()


def test_grammar_has_recorded_tokens(grammar):
    """The same in every release: results on other tokens are not comparable."""
    assert grammar().fingerprint[:16] == "2ae37ac6e97df29d"


def test_grammar_words_follow_zipf_within_their_category(grammar):
    tokens = grammar(train=4000, exponent=1.0).train_tokens
    counts = Counter(tokens.flatten().tolist())
    category = [counts[word] for word in range(1, 64, 8)]  # the eight words of category 0
    expected = np.arange(1, 9) ** -1.0
    shares = np.array(category) / sum(category)
    assert shares == pytest.approx(expected / expected.sum(), abs=0.02)


@pytest.mark.slow
def test_grammar_shifts_grow_with_severity(grammar):
    dataset = grammar(train=2000, test=2000)
    shares = np.bincount(dataset.train_tokens.flatten(), minlength=64) / dataset.train_tokens.size

    def distance(tokens):
        found = np.bincount(tokens.flatten(), minlength=64) / tokens.size
        return float(np.abs(found - shares).sum() / 2)

    assert distance(dataset.test_tokens) < 0.03
    for name in ("zipf", "grammar"):
        near, far = (distance(dataset.ood_tokens[CorruptionCell(name, s)]) for s in (1, 5))
        assert 0.03 < near < far


def test_grammar_training_and_test_share_no_sequence(grammar):
    dataset = grammar(context=32)
    train = {row.tobytes() for row in dataset.train_tokens}
    assert not any(row.tobytes() in train for row in dataset.test_tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 8}, r"dataset\.kwargs\.vocabulary: 8; give a whole number from 16 to 256"),
        ({"exponent": "steep"}, r"dataset\.kwargs\.exponent: 'steep'; give a number from 0 to 4"),
        ({"lenght": 3}, r"dataset\.kwargs\.lenght: zipf-grammar has no such option"),
        ({"context": 4096, "train": 1_000_000}, "more than 268,435,456 tokens"),
    ],
)
def test_grammar_bad_option_is_refused(grammar, options, message):
    with pytest.raises(InvalidRequestError, match=message):
        grammar(**options)


def test_text_file_is_read_as_bytes_and_tested_on_its_end(text_file):
    content = bytes(range(256)) * 10
    dataset = text_file(content, test_fraction=0.25)
    assert len(dataset.train) == 192
    assert len(dataset.test) == 64
    both = np.concatenate([dataset.train_tokens, dataset.test_tokens])
    assert both.tobytes() == content  # in order; no byte is in two sequences
    assert dataset.train.inputs[0].tolist() == list(range(9))
    assert dataset.train.labels[0].tolist() == list(range(1, 10))
    assert "not UTF-8 from byte 128" in dataset.notes[0]


def test_text_file_validation_is_the_end_of_the_training_part(text_file):
    dataset = text_file(np.arange(2000, dtype=np.uint16).tobytes())
    parts = split(dataset, "split", 0.2, train_size=50)
    first, last = parts.validation.tokens[0], parts.validation.tokens[-1]
    assert last.tolist() == dataset.train_tokens[-1].tolist()
    assert first.tolist() == dataset.train_tokens[-len(parts.validation)].tolist()
    assert len(parts.train) == 50
    rest = {row.tobytes() for row in dataset.train_tokens[: -len(parts.validation)]}
    assert all(row.tobytes() in rest for row in parts.train.tokens)


def test_text_file_changed_content_is_read_again(text_file):
    one = text_file(b"a" * 1000).fingerprint
    assert text_file(b"b" * 1001).fingerprint != one


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"short", {}, r"dataset\.kwargs\.context: 5 bytes are fewer than 2 x \(context 9 \+ 1\)"),
        (b"a" * 99, {"path": "missing.txt"}, r"dataset\.kwargs\.path: 'missing.txt' is no file"),
        (b"a" * 99, {"path": None}, "text-file has no file to read; name one"),
        (b"a" * 99, {"path": "../../etc/passwd"}, "is not below the data folder"),
        (b"a" * 99, {"encoding": "latin-1"}, "text-file has no such option"),
        (b"a" * 99, {"ood": ["b.txt"]}, r"dataset\.kwargs\.ood: \['b.txt'\]; give a mapping"),
        (b"a" * 99, {"ood": {"../x": "text.txt"}}, "name a set with at most 60 letters"),
    ],
)
def test_text_file_that_cannot_be_used_is_refused(text_file, content, options, message):
    with pytest.raises(DatasetError, match=message):
        text_file(content, **options)


def test_text_file_takes_other_files_as_ood_sets(text_file, tmp_path):
    (tmp_path / "other.txt").write_bytes(b"xyz" * 100)
    dataset = text_file(b"abc" * 100, ood={"other": "other.txt"})
    found = shifted_texts(dataset, "all", (2, 3))  # severities do not apply to it
    assert list(found.cells) == [CorruptionCell("other", 1)]
    assert set(found.sets[0].tokens.flatten().tolist()) == set(b"xyz")


def test_shifts_have_the_requested_order_and_size(grammar):
    found = shifted_texts(grammar(), ("grammar", "zipf"), (5, 1), sequences=20, seed=3)
    assert [tuple(cell) for cell in found.cells] == [
        ("grammar", 5),
        ("grammar", 1),
        ("zipf", 5),
        ("zipf", 1),
    ]
    assert {len(examples) for examples in found.sets} == {20}
    assert len(found.stratified_subset(10, seed=0)) == 10
    assert len(found.stratified_subset(10**6, seed=0)) == 80


@pytest.mark.parametrize(
    ("names", "severities", "sequences", "message"),
    [
        (("fog",), (1,), None, "zipf-grammar has no OOD set fog; choose from zipf, grammar"),
        ("all", (1,), 51, "51 sequences are requested; 1 to 50 can be used"),
    ],
)
def test_shifts_that_do_not_exist_are_refused(grammar, names, severities, sequences, message):
    with pytest.raises(InvalidRequestError, match=message):
        shifted_texts(grammar(), names, severities, sequences=sequences)


def test_shifts_of_a_file_without_any_are_refused(text_file):
    with pytest.raises(InvalidRequestError, match="has no OOD sets; set ood: null"):
        shifted_texts(text_file(b"abc" * 100), "all", (1,))


def test_subset_of_sequences_is_fixed(grammar):
    train = grammar().train
    one, again = (stratified_subset(train, 30, seed=0).tokens for _ in range(2))
    assert (one == again).all()
    assert len(one) == 30


def test_as_sequences_leaves_out_an_incomplete_one():
    assert as_sequences(np.arange(10, dtype=np.uint8), 2).tolist() == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
    ]
