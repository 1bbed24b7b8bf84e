"""Learning curves of several trials in one figure."""

from __future__ import annotations

from typing import Any

from service.storage import TrialRow
from service.ui.curve_overlay import curve_metrics, draw_overlay, overlay_records, trial_titles


def trial(key: str, **values: Any) -> TrialRow:
    plain: dict[str, Any] = {
        "key": key,
        "optimizer": "msgd",
        "hyperparameters": {"learning_rate": 0.1, "weight_decay": 0.0},
        "seed": 0,
        "metrics": {"val_accuracy": 0.5, "epoch": 2.0},
    }
    return TrialRow(**plain | values)


def test_titles_name_what_differs() -> None:
    rates = {"learning_rate": 0.01, "weight_decay": 0.0}
    trials = [trial("a"), trial("b", hyperparameters=rates), trial("c", optimizer="sam")]
    assert trial_titles(trials) == {"a": "MSGD lr 0.1", "b": "MSGD lr 0.01", "c": "SAM lr 0.1"}
    assert trial_titles([trial("a"), trial("b", seed=1)]) == {
        "a": "MSGD seed 0",
        "b": "MSGD seed 1",
    }


def test_metrics_are_those_with_curves_the_scores_first() -> None:
    measured = {"train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "epoch": 2.0, "x": 1.0}
    assert curve_metrics([trial("a", metrics={}), trial("b", metrics=measured)]) == [
        "val_accuracy",
        "val_loss",
        "train_loss",
    ]


def test_every_trial_has_a_line_of_its_own() -> None:
    trials = [trial(str(seed), seed=seed) for seed in range(9)]
    records = overlay_records(trials, {str(seed): [(1, 0.1), (2, 0.2)] for seed in range(9)})
    assert len(records) == 18
    encoding = draw_overlay("val_accuracy", records)["encoding"]
    colours, dashes = (encoding[name]["scale"]["range"] for name in ("color", "strokeDash"))
    assert len(set(zip(colours, map(tuple, dashes), strict=True))) == 9
