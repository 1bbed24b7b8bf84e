"""Sparklines as polylines."""

from __future__ import annotations

from service.ui.sparklines import HEIGHT, WIDTH, draw_sparklines
from workers.scores import SCORES

ACCURACY = SCORES["accuracy"]


def test_sparklines_share_axes_and_fit_in_their_box() -> None:
    drawn = draw_sparklines(
        {"a": [(1, 0.2), (5, 0.4)], "b": [(1, 0.6)], "empty": []},
        epochs=9,
        score=SCORES["accuracy"],
    )
    places = [tuple(map(float, point.split(","))) for point in drawn["a"].points.split()]
    assert places == [(2, HEIGHT - 2), (WIDTH / 2, HEIGHT / 2)]  # half of the epochs and values
    assert drawn["b"].points == "2.0,2.0 2.0,2.0"  # the highest value, as a dot
    assert drawn["a"].description == "validation accuracy from 20.0 to 40.0 percent in epoch 5"
    assert set(drawn) == {"a", "b"}


def test_sparkline_of_one_value_is_in_the_middle() -> None:
    assert (
        draw_sparklines({"a": [(1, 0.5)]}, epochs=1, score=ACCURACY)["a"].points.split()[0]
        == f"2.0,{HEIGHT / 2}"
    )
