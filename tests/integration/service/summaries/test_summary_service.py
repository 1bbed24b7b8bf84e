from typing import Any

import pytest

from service.external.mlflow_gateway import MlflowGateway
from service.sensitivity import UnknownNameError
from service.summaries.service import SummaryService

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def summaries(detailed: Any) -> SummaryService:
    return SummaryService(detailed.database, MlflowGateway(NOWHERE))


def test_summary_of_the_same_version_is_computed_once(
    detailed: Any, summaries: SummaryService
) -> None:
    first = summaries.summary(detailed.sweep_id)
    assert summaries.summary(detailed.sweep_id) is first
    assert summaries.summary(detailed.sweep_id, epsilon=0.2) is not first


def test_figure_is_computed_once_for_all_formats(detailed: Any, summaries: SummaryService) -> None:
    options = {"metric": "val_accuracy", "split": None}
    figure = summaries.figure(detailed.sweep_id, "heatmap", options=options)
    data = summaries.figure_file(detailed.sweep_id, "heatmap", options=options)
    assert data == figure.model_dump_json().encode()
    assert summaries.figure(detailed.sweep_id, "heatmap", options={"metric": "val_accuracy"}) is (
        figure
    )


def test_picture_is_drawn_once_per_theme(detailed: Any, summaries: SummaryService) -> None:
    def svg(theme: str) -> bytes:
        return summaries.figure_file(detailed.sweep_id, "best", file_format="svg", theme=theme)

    assert svg("light") is svg("light")
    assert svg("light") != svg("dark")


def test_unknown_format_is_refused_before_the_sweep_is_looked_up(
    summaries: SummaryService,
) -> None:
    with pytest.raises(UnknownNameError, match="vega-lite"):
        summaries.figure_file("no-such-sweep", "best", file_format="bmp")
