import csv
import io
import json
from typing import Any

import pytest

from service.sensitivity import FigureData, SweepComparison, SweepSummary
from service.sensitivity.figures import FIGURES, MEDIA_TYPES
from workers.spec import load_spec

DRAWABLE = (
    *("accuracy-heatmap", "best", "corruptions", "expected-max"),
    *("importance", "learning-curves", "lr-curves", "overview", "parallel-coordinates", "rank"),
    "tuning-bands",
)


def test_summary_json_is_typed_and_names_optimizers_both_ways(detailed: Any) -> None:
    answer = detailed.get("/summary", target=0.7)
    assert answer.headers["content-type"] == "application/json"
    summary = SweepSummary.model_validate_json(answer.content)
    assert summary.complete
    assert summary.target == 0.7
    assert [(found.optimizer, found.title) for found in summary.optimizers] == [
        ("sa-sam", "SA-SAM"),
        ("msgd", "MSGD"),
    ]
    assert summary.optimizer("msgd").n_diverged == 1


def test_summary_csv_and_latex(detailed: Any) -> None:
    answer = detailed.get("/summary", format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["title"] for row in rows] == ["SA-SAM", "MSGD"]
    assert r"\toprule" in detailed.get("/summary", format="latex").text


def test_summary_of_some_optimizers(detailed: Any) -> None:
    summary = SweepSummary.model_validate_json(detailed.get("/summary", optimizer="msgd").content)
    assert [found.optimizer for found in summary.optimizers] == ["msgd"]
    assert summary.comparisons is None
    assert summary.planned_trials == 6


def test_summary_at_equal_compute_reads_the_histories(detailed: Any) -> None:
    answer = detailed.get("/summary", gradient_evaluations="equal")
    summary = SweepSummary.model_validate_json(answer.content)
    assert summary.gradient_evaluation_budget == 300
    assert summary.evaluation_split == "validation"
    full = SweepSummary.model_validate_json(detailed.get("/summary").content)
    # SA-SAM pays 3 a step: it is cut after its first of three epochs, MSGD not at all.
    cut = summary.optimizer("sa-sam").best_config.val_accuracy
    assert cut == pytest.approx(full.optimizer("sa-sam").best_config.val_accuracy - 0.2)
    assert summary.optimizer("msgd").val_accuracy == full.optimizer("msgd").val_accuracy
    assert summary.optimizer("msgd").n_diverged == 1


def test_figures_are_listed_with_their_options(detailed: Any) -> None:
    found = {figure["name"]: figure for figure in detailed.get("/figures").json()}
    assert list(found) == list(FIGURES)
    assert found["heatmap"]["options"] == ["metric", "split", "x", "y", "rest", "at", "span"]
    assert found["lr-curves"]["options"] == ["axis"]
    assert found["learning-curves"]["options"] == ["x", "y"]
    assert all(figure["summary"].endswith(".") for figure in found.values())


@pytest.mark.parametrize("name", DRAWABLE)
def test_figure_is_answered_in_every_format(detailed: Any, name: str) -> None:
    beginnings = {"svg": b"<svg", "png": b"\x89PNG", "vega-lite": b"{"}
    for file_format, media_type in MEDIA_TYPES.items():
        answer = detailed.get(f"/figures/{name}", format=file_format, theme="dark")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        assert answer.content.startswith(beginnings.get(file_format, b""))
    figure = FigureData.model_validate_json(detailed.get(f"/figures/{name}").content)
    assert "SA-SAM" in figure.values("title")


def test_figure_that_the_grid_cannot_show_is_refused_with_others(detailed: Any) -> None:
    answer = detailed.get("/figures/tolerance")
    assert answer.status_code == 409
    assert "three positive values of learning rate" in answer.json()["detail"]
    assert answer.json()["allowed"] == ["lr-curves", "importance"]


def test_heatmap_over_chosen_axes(detailed: Any) -> None:
    answer = detailed.get("/heatmap", metric="val_accuracy", x="weight_decay", y="learning_rate")
    figure = FigureData.model_validate_json(answer.content)
    assert (figure.scales["x_axis"], figure.scales["y_axis"]) == ("weight_decay", "learning_rate")
    assert {record["x"] for record in figure.records} == {0.0, 1e-6, 1e-4}
    again = detailed.get("/figures/accuracy-heatmap", split="validation", x="weight_decay")
    assert FigureData.model_validate_json(again.content).records == figure.records


@pytest.mark.parametrize(
    ("options", "code", "allowed"),
    [
        ({"x": "learning_rte"}, "unknown_axis", ["learning_rate", "weight_decay"]),
        ({"x": "weight_decay", "y": "weight_decay"}, "same_axes", ["learning_rate"]),
        ({"rest": "worst"}, "invalid_rest", ["best", "mean"]),
        ({"at": "learning_rate=0.1"}, "invalid_at", None),
        ({"at": ["nothing=1", "learning_rate"]}, "unknown_axis", ["learning_rate", "weight_decay"]),
    ],
)
def test_heatmap_of_wrong_axes_is_refused(
    detailed: Any, options: dict[str, Any], code: str, allowed: list[str] | None
) -> None:
    answer = detailed.get("/heatmap", metric="val_accuracy", **options)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].replace("-", "_").endswith(f":{code}")
    assert allowed is None or problem["allowed"] == allowed


def test_curves_along_a_chosen_axis(detailed: Any) -> None:
    answer = detailed.get("/figures/lr-curves", axis="weight_decay")
    figure = FigureData.model_validate_json(answer.content)
    assert figure.values("x") == [0.0, 1e-6, 1e-4]
    wrong = detailed.get("/figures/lr-curves", axis="weight_dekay")
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("There is no axis 'weight_dekay'; did you mean")


def test_corruptions_figure_has_severities_from_mlflow(detailed: Any) -> None:
    figure = FigureData.model_validate_json(detailed.get("/figures/corruptions").content)
    (cell,) = figure.where(optimizer="sa-sam", corruption="fog", severity="5")
    assert cell["value"] == 0.6
    assert {"1", "5", "mean"} == set(figure.values("severity"))


def test_learning_curves_figure_has_a_point_an_epoch(detailed: Any) -> None:
    answer = detailed.get("/figures/learning-curves", x="gradient_evaluations")
    figure = FigureData.model_validate_json(answer.content)
    spent = [r["gradient_evaluations"] for r in figure.records if r["optimizer"] == "sa-sam"]
    assert spent == [300, 600, 900]


def test_figure_at_a_budget_says_so(detailed: Any) -> None:
    answer = detailed.get("/figures/best", gradient_evaluations=100)
    assert answer.json()["notes"][0] == "every trial cut at 100 gradient evaluations"


def test_heatmap_of_a_metric(detailed: Any) -> None:
    figure = detailed.get("/heatmap", metric="val_accuracy").json()
    assert len(figure["records"]) == 12
    states = {record["state"] for record in figure["records"]}
    assert states == {"value", "diverged"}


def test_report_is_one_page_without_the_network(detailed: Any) -> None:
    answer = detailed.get("/report.html", theme="dark")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.count("data:image/svg+xml;base64,") == len(DRAWABLE) - 1  # no heatmap twice
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text


@pytest.mark.parametrize(
    ("path", "status", "code", "allowed"),
    [
        ("/summary?target=1.5", 422, "invalid_target", "a number in [0, 1]"),
        ("/summary?target=nan", 422, "invalid_target", "a number in [0, 1]"),
        ("/summary?epsilon=-1", 422, "invalid_epsilon", "a number in [0, 1]"),
        ("/summary?format=xml", 422, "unknown_format", "latex"),
        ("/summary?optimizer=lion", 422, "unknown_optimizer", "sa-sam"),
        ("/summary?gradient_evaluations=some", 422, "invalid_gradient_evaluations", "equal"),
        ("/summary?gradient_evaluations=-3", 422, "invalid_gradient_evaluations", "equal"),
        ("/summary?gradient_evaluations=inf", 422, "invalid_gradient_evaluations", "equal"),
        ("/summary?gradient_evaluations=2", 409, "budget_too_small", "equal"),
        ("/heatmap", 422, "missing_metric", "ood_accuracy"),
        ("/heatmap?metric=loss", 422, "unknown_metric", "ood_accuracy"),
        ("/heatmap?metric=hessian_trace", 409, "not_measured", "ood_accuracy"),
        ("/heatmap?metric=val_accuracy&split=ood", 422, "unknown_split", "validation"),
        ("/figures/pie", 422, "unknown_figure", "best"),
        ("/figures/best?format=gif", 422, "unknown_format", "svg"),
        ("/figures/best?theme=pink", 422, "unknown_theme", "dark"),
        ("/figures/best?x=epoch", 422, "unknown_option", "split"),
        ("/figures/expected-max?budget=time", 422, "invalid_budget", "configurations"),
        ("/figures/rank?optimizer=msgd", 409, "needs_two_optimizers", "best"),
        ("/figures/curvature-scatter", 409, "not_measured", "val_accuracy"),
        ("/report.html?theme=pink", 422, "unknown_theme", "light"),
    ],
)
def test_bad_question_is_a_problem_that_says_what_is_possible(
    detailed: Any, path: str, status: int, code: str, allowed: str
) -> None:
    answer = detailed.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"].replace("-", "_").endswith(f":{code}")
    assert allowed in problem["allowed"]
    assert allowed in problem["detail"]


def test_unknown_sweep_is_not_found(detailed: Any) -> None:
    for path in ("summary", "figures", "figures/best", "heatmap", "report.html"):
        answer = detailed.client.get(f"/api/v1/sweeps/ffffffffffff/{path}?metric=val_accuracy")
        assert answer.status_code == 404


def test_sweep_without_a_finished_trial_is_a_conflict(detailed: Any, make_sweep: Any) -> None:
    sweep_id = make_sweep("unfinished", outcome=None)
    for path in ("summary", "figures/best", "figures/learning-curves", "report.html"):
        answer = detailed.client.get(f"/api/v1/sweeps/{sweep_id}/{path}")
        assert answer.status_code == 409
        assert "no_finished_trials" in answer.json()["type"].replace("-", "_")


def test_answers_follow_the_trials(detailed: Any, make_sweep: Any) -> None:
    sweep_id = make_sweep("growing")
    address = f"/api/v1/sweeps/{sweep_id}/summary"
    first = detailed.client.get(address)
    assert detailed.client.get(address).content == first.content
    make_sweep.end(sweep_id, "diverged")
    assert detailed.client.get(address).json()["diverged_trials"] == 1


def test_compare_puts_sweeps_side_by_side(detailed: Any, make_sweep: Any) -> None:
    other = make_sweep("other", model="vgg11-slim")
    ids = f"{detailed.sweep_id}, {other}"
    found = SweepComparison.model_validate_json(
        detailed.client.get("/api/v1/compare", params={"sweeps": ids}).content
    )
    assert found.differing["model.name"] == ["cnn-tiny", "vgg11-slim"]
    assert [sweep.code_version for sweep in found.sweeps] == ["0abc123", None]
    assert found.workloads is not None
    assert len(found.headlines) == 4
    text = detailed.client.get("/api/v1/compare", params={"sweeps": ids, "format": "csv"}).text
    assert len(text.splitlines()) == 5
    assert found.workloads.optimizers[0].published.plane is not None
    for name in ("side-by-side", "learning-rates", "performance-profiles", "sensitivity-plane"):
        drawn = detailed.client.get(
            f"/api/v1/compare/figures/{name}", params={"sweeps": ids, "format": "svg"}
        )
        assert drawn.content.startswith(b"<svg")


def test_next_cells_are_a_specification_that_can_be_submitted(detailed: Any) -> None:
    answer = detailed.client.get(f"/api/v1/sweeps/{detailed.sweep_id}/next-cells")
    assert answer.headers["content-type"].startswith("application/yaml")
    found = load_spec(answer.text)
    assert found.dataset.name == "digits"
    assert all(" next " in label for label in found.labels)
    checked = detailed.client.post("/api/v1/sweeps", params={"dry_run": True}, content=answer.text)
    assert checked.status_code == 200, checked.text


@pytest.mark.parametrize(
    ("sweeps", "status", "code"),
    [
        ("", 422, "needs_two_sweeps"),
        ("{0}", 422, "needs_two_sweeps"),
        ("{0},{0}", 422, "needs_two_sweeps"),
        ("{0},ffffffffffff", 404, "unknown_sweep"),
        (",".join(["{0}"] * 21), 422, "too_many_sweeps"),
    ],
)
def test_compare_bad_question_is_a_problem(
    detailed: Any, sweeps: str, status: int, code: str
) -> None:
    params = {"sweeps": sweeps.format(detailed.sweep_id)}
    answer = detailed.client.get("/api/v1/compare", params=params)
    assert answer.status_code == status
    assert answer.json()["type"].replace("-", "_").endswith(code)


def test_openapi_describes_answers_and_problems(detailed: Any) -> None:
    schema = detailed.client.get("/openapi.json").json()
    paths = schema["paths"]
    summary = paths["/api/v1/sweeps/{sweep_id}/summary"]["get"]
    assert set(summary["responses"]["200"]["content"]) >= {"application/json", "text/csv"}
    assert {"404", "409", "422", "503"} <= set(summary["responses"])
    figure = paths["/api/v1/sweeps/{sweep_id}/figures/{name}"]["get"]
    assert "image/png" in figure["responses"]["200"]["content"]
    optimizer = schema["components"]["schemas"]["OptimizerSummary"]["properties"]
    assert optimizer["title"]["examples"] == ["SA-SAM"]
    assert json.dumps(schema)  # finite
