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


CURVATURE = {
    "hessian_trace.validation": [(1, 4.0), (2, 8.0)],
    "hessian_lambda_max.ood": [(1, 2.0), (2, -1.0)],
    "critical_sharpness": [(1, 0.5), (2, 0.6)],
    "stability_ratio": [(1, 0.2), (2, 0.9)],
    "worst_case_sharpness": [(1, 0.01), (2, 0.02)],
    "gradient_noise_scale": [(1, 300.0), (2, 900.0)],
}


@pytest.mark.parametrize(
    ("name", "title", "metrics"),
    [
        (
            "curvature",
            "Curvature",
            ["Tr(H), validation", "λmax(H), OOD", "Critical sharpness"],
        ),
        ("stability", "Stability ratio", ["Stability ratio"]),
        ("sharpness", "Adaptive m-sharpness", ["Worst-case m-sharpness"]),
        ("gradient-noise", "Gradient noise scale (images)", ["Gradient noise scale (images)"]),
    ],
)
def test_curvature_is_drawn_over_the_epochs_where_it_was_measured(
    name: str, title: str, metrics: list[str]
) -> None:
    measured = trial(**CURVATURE)
    records = trial_records(name, measured)
    assert list(dict.fromkeys(record["metric"] for record in records)) == metrics
    assert figure_title(name, records) == title
    assert draw_trial_figure(name, measured) is not None
    assert all(record["value"] > 0 for record in records)  # a logarithmic axis has no other


def test_curvature_of_the_end_alone_is_no_curve() -> None:
    measured = trial(**{name: values[-1:] for name, values in CURVATURE.items()})
    assert all(draw_trial_figure(name, measured) is None for name in ("curvature", "stability"))
