"""What the pages say in words, and the curves in their tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from service.events import EventKind
from service.sensitivity.schemas import PairComparison
from service.storage import EventRow
from service.trials.repository import BestConfiguration
from service.ui.event_sentences import happenings
from service.ui.labels import comparison_sentence, duration
from service.ui.running_curves import HEIGHT, WIDTH, draw_curves
from service.ui.search_figure import draw_search, search_records


def pair(mean: float | None, wins: int = 0, ties: int = 0, losses: int = 0, **more: Any) -> Any:
    fields: dict[str, Any] = dict.fromkeys(PairComparison.model_fields)
    counts = {"n_blocks": wins + ties + losses, "wins": wins, "ties": ties, "losses": losses}
    return PairComparison.model_validate(
        fields
        | {"a": "sa-sam", "b": "mine", "best_difference": 0.0, "mean_difference": mean}
        | counts
        | more
    )


@pytest.mark.parametrize(
    ("compared", "sentence"),
    [
        (
            pair(0.021, 12, 1, 3, wilcoxon_p_holm=0.004),
            "SA-SAM is 2.1 points better than mine on average: SA-SAM ahead on 12, mine on 3, "
            "level on 1 of 16 shared configurations; consistent within this sweep (p = 0.004).",
        ),
        (
            pair(-0.01, 1, 0, 3, wilcoxon_p_holm=0.5),
            "mine is 1 point better than SA-SAM on average: mine ahead on 3, SA-SAM on 1 of 4 "
            "shared configurations; no consistent difference within this sweep (p = 0.5).",
        ),
        (
            pair(0.0001, 1, 0, 0),
            "SA-SAM and mine are level on average: SA-SAM ahead on 1, mine on 0 of 1 shared "
            "configurations; too few configurations to test.",
        ),
        (pair(None), "SA-SAM and mine share no configuration."),
    ],
)
def test_comparison_is_told_from_the_better_ones_side(compared: Any, sentence: str) -> None:
    assert comparison_sentence(compared) == sentence


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("state", {"state": "queued", "before": None, "reason": None, "attempt": 0}, "submitted"),
        (
            "state",
            {"state": "running", "before": "starting", "reason": None, "attempt": 2},
            "starting → running, driver 2",
        ),
        (
            "state",
            {"state": "failed", "before": "running", "reason": "no disk", "attempt": 2},
            "running → failed: no disk",
        ),
        ("reason", {"reason": "the disk is full"}, "the disk is full"),
        ("reason", {"reason": None}, "nothing is in its way any more"),
        ("trial", {"status": "running", "epoch": 0, "error": None, "attempt": 1}, "started"),
        (
            "trial",
            {"status": "running", "epoch": 0, "error": None, "attempt": 3},
            "started again, driver 3",
        ),
        (
            "trial",
            {"status": "failed", "epoch": 4, "error": "ValueError", "attempt": 1},
            "failed in epoch 4: ValueError",
        ),
        ("repaired", {"trials": 1200}, "read 1,200 trials again from MLflow"),
    ],
)
def test_every_event_is_told_in_words(kind: str, data: dict[str, Any], words: str) -> None:
    event = EventRow(number=7, kind=EventKind(kind), data=data, created_at=datetime.now(UTC))
    (told,) = happenings([event])
    assert (told.words, told.number) == (words, 7)


def test_curves_lie_in_their_box_on_common_axes() -> None:
    curves = draw_curves({"a": [(1, 0.2), (5, 0.4)], "b": [(1, 0.6)], "none": []}, epochs=9)
    places = [tuple(map(float, point.split(","))) for point in curves["a"].points.split()]
    assert places == [(2, HEIGHT - 2), (WIDTH / 2, HEIGHT / 2)]  # half of the epochs and of the way
    assert curves["b"].points == "2.0,2.0 2.0,2.0"  # the best so far; a dot
    assert curves["a"].words == "validation accuracy from 20.0 to 40.0 percent in epoch 5"
    assert set(curves) == {"a", "b"}


def test_curves_of_one_value_lie_in_the_middle() -> None:
    assert draw_curves({"a": [(1, 0.5)]}, epochs=1)["a"].points.split()[0] == f"2.0,{HEIGHT / 2}"


@pytest.mark.parametrize(("decay", "scale"), [(0.0, "symlog"), (1e-6, "log")])
def test_search_is_drawn_best_on_top_with_links(decay: float, scale: str) -> None:
    found = [
        BestConfiguration("sam", 0.1, decay, 0.9, 2),
        BestConfiguration("a b", 1, 1e-4, 0.5, 1),
    ]
    records = search_records(found, "/trials")
    assert [record["accuracy"] for record in records] == [0.5, 0.9]
    assert records[0]["trials"] == "/trials?optimizer=a+b&learning_rate=1&weight_decay=0.0001"
    spec = draw_search(records, ["SAM", "a b"])
    assert spec["spec"]["encoding"]["y"]["scale"]["type"] == scale
    assert spec["facet"]["sort"] == ["SAM", "a b"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0.2, "1 s"),
        (89.5, "90 s"),
        (90, "2 min"),
        (7500, "2 h 5 min"),
        (97_200, "1 d 3 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
