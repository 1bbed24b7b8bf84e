"""Metrics of the MLflow run of a sweep."""

from typing import Any

import pytest

from service.sensitivity import TrialResult, TrialTable, summarize
from service.summaries.publishing import _metrics
from workers.metrics import Outcome
from workers.scores import SCORES


@pytest.mark.parametrize(("score", "best"), [("accuracy", 0.9), ("loss", 0.25)])
def test_metrics_have_the_score_by_its_name(score: Any, best: float) -> None:
    results = [
        TrialResult(
            key=str(rate),
            optimizer="adam (a)",
            optimizer_name="adam",
            hyperparameters={"learning_rate": rate},
            seed=0,
            outcome=Outcome.COMPLETED,
            val_accuracy=1.025 - rate,
            val_loss=0.125 + rate,
        )
        for rate in (0.125, 0.375)
    ]
    table = TrialTable.from_results(results, chance_accuracy=0.1, score=SCORES[score])
    found = dict(_metrics(summarize(table)))
    assert found == pytest.approx(
        {
            f"summary.adam _a_.val_{score}": best,
            "summary.adam _a_.mean_regret": 0.125,
            "summary.adam _a_.lr_sensitivity": 0.125,
            "summary.adam _a_.divergence_rate": 0.0,
        }
    )
