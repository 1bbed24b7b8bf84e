from typing import Any

import pytest

from service.sensitivity import Axis, UnknownNameError
from service.sensitivity.hyperparameters import merge_axes, ordered, parse_value
from workers.hyperparameter_text import axis_titles, value_text


@pytest.mark.parametrize(
    ("values", "expected", "scale"),
    [
        ([0.1, 0.001, 0.1], (0.001, 0.1), "log"),
        ([1e-4, 0], (0, 1e-4), "ordinal"),
        (["crop", "none"], ("crop", "none"), "ordinal"),
        ([True, False], (True, False), "ordinal"),
        ([[0.9, 0.999], [0.9, 0.95]], ((0.9, 0.999), (0.9, 0.95)), "ordinal"),
        ([None, 0.1], (None, 0.1), "ordinal"),
    ],
)
def test_axis_numbers_rise_and_categories_keep_their_order(
    values: list[Any], expected: tuple[Any, ...], scale: str
) -> None:
    axis = Axis.of("x", values)
    assert (axis.values, axis.scale) == (expected, scale)
    assert axis.is_numeric == (expected in ((0.001, 0.1), (0, 1e-4)))


def test_axis_edge_is_of_several_numbers_only() -> None:
    numbers = Axis.of("x", [1, 2, 3])
    assert [numbers.is_on_edge(value) for value in numbers.values] == [True, False, True]
    assert not Axis.of("x", [1]).is_on_edge(1)
    assert not Axis.of("x", ["a", "b"]).is_on_edge("a")


def test_axis_titles_are_short_unless_ambiguous() -> None:
    names = ["learning_rate", "optimizer.momentum", "training.batch_size"]
    assert axis_titles(names, short=True) == {
        "learning_rate": "lr",
        "optimizer.momentum": "momentum",
        "training.batch_size": "batch size",
    }
    assert axis_titles(["optimizer.width", "model.kwargs.width"]) == {
        "optimizer.width": "optimizer.width",
        "model.kwargs.width": "model.kwargs.width",
    }


def test_ordered_begins_with_rate_and_decay() -> None:
    names = ["optimizer.rho", "weight_decay", "learning_rate", "optimizer.rho"]
    assert ordered(names) == ["learning_rate", "weight_decay", "optimizer.rho"]


def test_merge_axes_has_the_values_of_all() -> None:
    (rate, betas) = merge_axes(
        [
            Axis.of("optimizer.betas", [[0.9, 0.99]]),
            Axis.of("learning_rate", [0.1, 0.01]),
            Axis.of("learning_rate", [1.0, 0.1]),
        ]
    )
    assert (rate.name, rate.values) == ("learning_rate", (0.01, 0.1, 1.0))
    assert betas.values == ((0.9, 0.99),)


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        ([0.1, 1e-3], "1e-3", 1e-3),
        ([32, 64], "64.0", 64),
        ([[0.9, 0.95], [0.9, 0.99]], "[0.9,0.99]", (0.9, 0.99)),
        (["crop", "none"], "crop", "crop"),
        (["crop", "none"], '"none"', "none"),
        ([True, False], "false", False),
        ([None, 0.1], "null", None),
    ],
)
def test_parse_value_reads_json_and_labels(values: list[Any], text: str, expected: Any) -> None:
    axis = Axis.of("x", values)
    found = parse_value(axis, text)
    assert found == expected
    assert parse_value(axis, value_text(found)) == found


@pytest.mark.parametrize("text", ["0.2", "true", "", "[0.1]", "{}", "[" * 10_000])
def test_parse_value_refuses_what_the_axis_lacks(text: str) -> None:
    with pytest.raises(UnknownNameError, match=r"of x.*Possible: 0\.1, 1") as caught:
        parse_value(Axis.of("x", [0.1, 1]), text)
    assert caught.value.code == "unknown_axis_value"
