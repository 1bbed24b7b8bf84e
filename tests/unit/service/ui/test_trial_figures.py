"""Figures of one trial."""

from __future__ import annotations

from typing import Any

import pytest

from service.trials.schemas import TrialDetail
from service.ui.trial_figures import draw_trial_figure, figure_title, trial_records


def trial(**history: list[tuple[int, float]]) -> TrialDetail:
    fields: dict[str, Any] = dict.fromkeys(TrialDetail.model_fields)
    given = {"key": "k", "position": 0, "optimizer": "msgd", "status": "completed", "epoch": 2}
    numbers = {"learning_rate": 0.1, "weight_decay": 0.0, "hyperparameters": {}, "seed": 0}
    numbers |= {"metrics": {}, "scores": {}}
    return TrialDetail.model_validate(
        fields | given | numbers | {"configuration": {}, "history": history}
    )


@pytest.mark.parametrize(
    ("radius", "title"),
    [
        ([], "Step size"),
        ([(1, 0.0), (2, 0.0)], "Step size"),
        ([(1, 0.05)], "Step size and perturbation radius"),
    ],
)
def test_step_size_figure_names_only_metrics_that_it_shows(
    radius: list[tuple[int, float]], title: str
) -> None:
    shown = trial(step_size=[(1, 0.1), (2, 0.05)], perturbation_radius=radius)
    assert figure_title("step-size", trial_records("step-size", shown)) == title
    spec = draw_trial_figure("step-size", shown)
    assert spec is not None
    assert spec["title"]["text"] == title


@pytest.mark.parametrize("name", ["loss", "no-such-figure"])
def test_figure_without_data_is_none(name: str) -> None:
    assert draw_trial_figure(name, trial(step_size=[(1, 0.1)])) is None
