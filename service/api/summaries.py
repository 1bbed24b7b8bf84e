"""HTTP endpoints of tuning sensitivity: summaries, figures, reports, comparisons."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from service.api.dependencies import database, summary_service
from service.problems import NotFoundProblem, ProblemDetails, problems
from service.sensitivity import (
    COMPARISON_FIGURES,
    COMPARISON_FORMATS,
    FIGURES,
    HEATMAP_METRICS,
    MEDIA_TYPES,
    SUMMARY_FORMATS,
    FigureData,
    FigureView,
    InvalidOptionError,
    SweepComparison,
    SweepSummary,
    describe_figures,
    export_comparison,
    export_summary,
)
from service.sensitivity.export import require_format
from service.sensitivity.figures import THEMES
from service.sensitivity.figures.expected_max import BUDGET_UNITS
from service.sensitivity.figures.heatmap_plane import REST
from service.sensitivity.sweep_summary import Budget
from service.storage import Database
from service.summaries.best_configuration import BEST_FORMATS
from service.summaries.service import Selection, SummaryService
from service.sweeps.service import require_sweep

__all__ = ["router"]

router = APIRouter(tags=["summaries"])

_HTML = "text/html; charset=utf-8"
_YAML = "application/yaml; charset=utf-8"


def _choice(allowed: Any, **more: Any) -> Any:
    """A query parameter with the allowed values; the error for another value lists them."""
    return Query(json_schema_extra={"enum": list(allowed)}, **more)


def _selection(
    optimizer: Annotated[
        list[str] | None,
        Query(description="Labels of optimizers, repeatable; all if absent."),
    ] = None,
    gradient_evaluations: Annotated[
        str | None,
        Query(
            description="Cut every trial at this budget: `equal` for the largest one that every"
            " optimizer spent, or a number. Validation scores only.",
            examples=["equal", "30000"],
        ),
    ] = None,
) -> Selection:
    """The part of a sweep that the query parameters select."""
    return Selection(tuple(optimizer or ()), _budget(gradient_evaluations))


def _budget(text: str | None) -> Budget | None:
    """Parse a budget of gradient evaluations."""
    if text is None or text == "equal":
        return text  # type: ignore[return-value]  # it is "equal"
    try:
        return float(text)
    except ValueError:
        raise InvalidOptionError(
            "invalid_gradient_evaluations",
            f"A budget of {text[:40]!r} is not a number.",
            ("equal", "a positive number of gradient evaluations"),
        ) from None


def _responses(model: Any, media_types: dict[str, str]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of an endpoint: its formats and its problems."""
    others = {
        media.partition(";")[0]: {"schema": {"type": "string"}}
        for name, media in media_types.items()
        if name != "json"
    }
    problems = {
        404: "There is no such sweep.",
        409: "These trials cannot answer (yet); `allowed` lists the alternatives.",
        422: "A requested name does not exist; `allowed` lists those that do.",
        503: "It needs data from MLflow, and MLflow does not answer.",
    }
    return {
        200: {"model": model, "content": others} if model else {"content": others},
        **{
            status: {"model": ProblemDetails, "description": description}
            for status, description in problems.items()
        },
    }


Summaries = Annotated[SummaryService, Depends(summary_service)]
Selected = Annotated[Selection, Depends(_selection)]
Target = Annotated[
    float | None,
    Query(
        description="Score for `trials_to_target`, an accuracy in [0, 1] or a loss; by default"
        " worse by eps than the best."
    ),
]
Epsilon = Annotated[
    float | None,
    Query(
        description="Difference from the best score within which a configuration is near-optimal;"
        " by default 0.01 of accuracy, 0.05 nats of loss."
    ),
]
SummaryFormat = Annotated[str, _choice(SUMMARY_FORMATS, alias="format")]
ComparisonFormat = Annotated[str, _choice(COMPARISON_FORMATS, alias="format")]
FigureFormat = Annotated[str, _choice(MEDIA_TYPES, alias="format")]
Theme = Annotated[str, _choice(THEMES)]
Split = Annotated[str | None, Query(description="`validation` or `ood`.")]
AxisX = Annotated[
    str | None,
    Query(
        description="Horizontal axis of a heatmap: a hyperparameter by its dotted path; by default"
        " `learning_rate`, or the first one. Of learning-curves: `epoch` or"
        " `gradient_evaluations`.",
        examples=["learning_rate", "optimizer.momentum"],
    ),
]
AxisY = Annotated[
    str | None,
    Query(
        description="Vertical axis of a heatmap; by default `weight_decay`, or the next one. Of"
        " learning-curves: `data` or `chance`, where it starts.",
        examples=["training.batch_size"],
    ),
]
Rest = Annotated[
    str | None,
    _choice(
        REST,
        description="What a heatmap reduces the other hyperparameters to: the choice that"
        " validation selects, or the mean over all.",
    ),
]
Span = Annotated[
    str | None,
    Query(
        description="How much worse than the best the colours of a heatmap of scores begin, in"
        " percentage points of accuracy or nats of loss; by default they begin at chance.",
        max_length=20,
        examples=["5"],
    ),
]
At = Annotated[
    list[str] | None,
    Query(
        description="Fixes another hyperparameter of a heatmap, as `axis=value`; repeatable.",
        examples=[["optimizer.momentum=0.9"]],
    ),
]
Sweeps = Annotated[
    str,
    Query(description="Ids of sweeps, comma-separated.", examples=["1f0c2a9b77d4,9d31c0f2ab68"]),
]
FIGURE = _responses(FigureData, MEDIA_TYPES)


@router.get("/sweeps/{sweep_id}/summary", responses=_responses(SweepSummary, SUMMARY_FORMATS))
def show_summary(
    sweep_id: str,
    summaries: Summaries,
    selection: Selected,
    target: Target = None,
    epsilon: Epsilon = None,
    file_format: SummaryFormat = "json",
) -> Response:
    """How much each optimizer depends on tuning.

    Per optimizer the configuration with the best validation score (never selected by OOD), its
    OOD score and curvature, sensitivities, regrets, divergence, expected-best curves; all pairs
    compared; and caveats.
    """
    require_format(file_format, SUMMARY_FORMATS)
    summary = summaries.summary(sweep_id, selection, target=target, epsilon=epsilon)
    return _response(export_summary(summary, file_format), SUMMARY_FORMATS[file_format])


@router.get("/sweeps/{sweep_id}/next-cells", responses=_responses(None, {"yaml": _YAML}))
def show_next_cells(sweep_id: str, summaries: Summaries, selection: Selected) -> Response:
    """A specification of the configurations to run for a certificate of local optimality.

    They are the single-axis neighbours of each optimizer's selected configuration that were not
    measured: beyond an edge of the grid, failed, pruned, or not run yet.
    """
    return _response(summaries.next_cells(sweep_id, selection).encode(), _YAML)


@router.get("/sweeps/{sweep_id}/best-configuration", responses=_responses(None, BEST_FORMATS))
def show_best_configuration(
    sweep_id: str,
    summaries: Summaries,
    selection: Selected,
    file_format: Annotated[str, _choice(BEST_FORMATS, alias="format")] = "yaml",
) -> Response:
    """The best configuration of the selected optimizers, by its validation score.

    As a specification of one trial, or as Python code that builds the optimizer.
    """
    text = summaries.best_configuration(sweep_id, file_format, selection)
    return _response(text.encode(), f"{BEST_FORMATS[file_format]}; charset=utf-8")


@router.get("/sweeps/{sweep_id}/heatmap", responses=FIGURE)
def show_heatmap(
    sweep_id: str,
    summaries: Summaries,
    selection: Selected,
    metric: Annotated[str | None, _choice(HEATMAP_METRICS)] = None,
    split: Split = None,
    x: AxisX = None,
    y: AxisY = None,
    rest: Rest = None,
    at: At = None,
    span: Span = None,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A metric over two hyperparameters, one panel per optimizer.

    An optimizer that lacks one of them says so in its panel.
    """
    options = {"metric": metric, "split": split, "x": x, "y": y, "rest": rest, "at": at}
    options["span"] = span
    content = summaries.figure_file(
        sweep_id, "heatmap", selection, options, file_format=file_format, theme=theme
    )
    return _response(content, MEDIA_TYPES[file_format])


@router.get("/sweeps/{sweep_id}/figures", responses=problems(NotFoundProblem))
def list_figures(sweep_id: str, stored: Annotated[Database, Depends(database)]) -> list[FigureView]:
    """The figures and the options of each."""
    with stored.snapshot() as session:
        require_sweep(session, sweep_id)
    return list(describe_figures())


@router.get("/sweeps/{sweep_id}/figures/{name}", responses=FIGURE)
def show_figure(
    sweep_id: str,
    name: Annotated[str, Path(json_schema_extra={"enum": list(FIGURES)})],
    summaries: Summaries,
    selection: Selected,
    metric: Annotated[
        str | None, _choice(HEATMAP_METRICS, description="Of heatmap and curvature-scatter.")
    ] = None,
    split: Split = None,
    budget: Annotated[
        str | None,
        _choice(BUDGET_UNITS, description="Of expected-max."),
    ] = None,
    axis: Annotated[
        str | None,
        Query(
            description="Hyperparameter of lr-curves by its dotted path; by default"
            " `learning_rate`, or the first one.",
            examples=["optimizer.momentum"],
        ),
    ] = None,
    x: AxisX = None,
    y: AxisY = None,
    rest: Rest = None,
    at: At = None,
    span: Span = None,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A figure as its data (json, csv), its Vega-Lite specification, or a picture (svg, png)."""
    options = {
        **{"metric": metric, "split": split, "budget": budget, "axis": axis},
        **{"x": x, "y": y, "rest": rest, "at": at, "span": span},
    }
    content = summaries.figure_file(
        sweep_id, name, selection, options, file_format=file_format, theme=theme
    )
    return _response(content, MEDIA_TYPES[file_format])


@router.get("/sweeps/{sweep_id}/report.html", responses=_responses(None, {"html": _HTML}))
def show_report(
    sweep_id: str, summaries: Summaries, selection: Selected, theme: Theme = "light"
) -> Response:
    """Summary, caveats, comparisons and every figure as one self-contained page."""
    return _response(summaries.report(sweep_id, selection, theme=theme), _HTML)


@router.get("/compare", responses=_responses(SweepComparison, COMPARISON_FORMATS))
def compare(
    sweeps: Sweeps,
    summaries: Summaries,
    epsilon: Epsilon = None,
    file_format: ComparisonFormat = "json",
) -> Response:
    """Sweeps side by side: the same grid on other models, data or code versions.

    With two or more workloads also scores normalised within each, and performance profiles.
    """
    require_format(file_format, COMPARISON_FORMATS)
    comparison = summaries.compare(_ids(sweeps), epsilon=epsilon)
    return _response(export_comparison(comparison, file_format), COMPARISON_FORMATS[file_format])


@router.get("/compare/figures/{name}", responses=FIGURE)
def show_comparison_figure(
    name: Annotated[str, Path(json_schema_extra={"enum": list(COMPARISON_FIGURES)})],
    sweeps: Sweeps,
    summaries: Summaries,
    epsilon: Epsilon = None,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A figure of several sweeps, in the formats of a sweep's figures."""
    content = summaries.comparison_figure_file(
        _ids(sweeps), name, epsilon=epsilon, file_format=file_format, theme=theme
    )
    return _response(content, MEDIA_TYPES[file_format])


def _ids(sweeps: str) -> list[str]:
    """Ids without separators and spaces."""
    return [sweep_id for part in sweeps.split(",") if (sweep_id := part.strip())]


def _response(content: bytes, media_type: str) -> Response:
    return Response(content, media_type=media_type)
