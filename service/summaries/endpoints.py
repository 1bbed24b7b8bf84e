"""HTTP for tuning sensitivity: summaries, figures, reports, comparisons."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from service.dependencies import answers, database
from service.errors import NotFoundProblem, ProblemDetails, problems
from service.storage import Database
from service.summaries.answers import (
    COMPARISON_FORMATS,
    SUMMARY_FORMATS,
    Answer,
    Answers,
    View,
)
from service.summaries.compared import SweepComparison
from service.summaries.errors import InvalidOptionError
from service.summaries.figures import (
    COMPARISON_FIGURES,
    FIGURES,
    HEATMAP_METRICS,
    MEDIA_TYPES,
    THEMES,
    FigureData,
    describe_figures,
)
from service.summaries.schemas import FigureView, SweepSummary
from service.summaries.summary import EPSILON, Budget
from service.summaries.table import TrialTable
from service.summaries.trials import trial_table
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository

__all__ = ["router", "table_of_sweep"]

router = APIRouter(tags=["summaries"])


def table_of_sweep(sweep_id: str, stored: Annotated[Database, Depends(database)]) -> TrialTable:
    """The trials of the sweep in the path."""
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        return trial_table(sweep, TrialRepository(session).of_sweep(sweep_id))


def _choice(allowed: Any, **more: Any) -> Any:
    """A parameter with some values; others get an answer that lists them."""
    return Query(json_schema_extra={"enum": list(allowed)}, **more)


def _view(
    optimizer: Annotated[
        list[str] | None,
        Query(description="Labels of optimizers, repeatable; all where absent."),
    ] = None,
    gradient_evaluations: Annotated[
        str | None,
        Query(
            description="Cut every trial at this budget: `equal` for the largest one that every"
            " optimizer spent, or a number. Validation accuracy only.",
            examples=["equal", "30000"],
        ),
    ] = None,
) -> View:
    """Which part of a sweep a question is about."""
    return View(tuple(optimizer or ()), _budget(gradient_evaluations))


def _budget(text: str | None) -> Budget | None:
    """A budget of gradient evaluations."""
    if text is None or text == "equal":
        return text  # type: ignore[return-value]  # it is "equal"
    try:
        return float(text)
    except ValueError:
        raise InvalidOptionError(
            "invalid_gradient_evaluations",
            f"A budget of {text[:40]!r} is no number.",
            ("equal", "a positive number of gradient evaluations"),
        ) from None


def _answers(model: Any, media_types: dict[str, str]) -> dict[int | str, dict[str, Any]]:
    """What an endpoint answers: its formats, and its problems."""
    others = {
        media.partition(";")[0]: {"schema": {"type": "string"}}
        for name, media in media_types.items()
        if name != "json"
    }
    problems = {
        404: "There is no such sweep.",
        409: "These trials cannot answer (yet); `allowed` says what they can.",
        422: "Something asked for does not exist; `allowed` says what does.",
        503: "It needs what only MLflow has, and MLflow does not answer.",
    }
    return {
        200: {"model": model, "content": others} if model else {"content": others},
        **{
            status: {"model": ProblemDetails, "description": description}
            for status, description in problems.items()
        },
    }


Sensitivity = Annotated[Answers, Depends(answers)]
Part = Annotated[View, Depends(_view)]
Target = Annotated[
    float | None,
    Query(description="Accuracy in [0, 1] for `trials_to_target`; by default the best less eps."),
]
Epsilon = Annotated[
    float, Query(description="Accuracy in [0, 1] within which a configuration is near-optimal.")
]
SummaryFormat = Annotated[str, _choice(SUMMARY_FORMATS, alias="format")]
ComparisonFormat = Annotated[str, _choice(COMPARISON_FORMATS, alias="format")]
FigureFormat = Annotated[str, _choice(MEDIA_TYPES, alias="format")]
Theme = Annotated[str, _choice(THEMES)]
Split = Annotated[str | None, Query(description="`validation` or `ood`.")]
Sweeps = Annotated[
    str,
    Query(description="Ids of sweeps, comma-separated.", examples=["1f0c2a9b77d4,9d31c0f2ab68"]),
]
FIGURE = _answers(FigureData, MEDIA_TYPES)


@router.get("/sweeps/{sweep_id}/summary", responses=_answers(SweepSummary, SUMMARY_FORMATS))
def show_summary(
    sweep_id: str,
    sensitivity: Sensitivity,
    part: Part,
    target: Target = None,
    epsilon: Epsilon = EPSILON,
    file_format: SummaryFormat = "json",
) -> Response:
    """How much each optimizer depends on tuning.

    Per optimizer the configuration with the best validation accuracy (never selected by OOD), its
    OOD accuracy and curvature, sensitivities, regrets, divergence, expected-best curves; all pairs
    compared; and what to beware of.
    """
    return _sent(
        sensitivity.summary(sweep_id, part, target=target, epsilon=epsilon, file_format=file_format)
    )


@router.get("/sweeps/{sweep_id}/heatmap", responses=FIGURE)
def show_heatmap(
    sweep_id: str,
    sensitivity: Sensitivity,
    part: Part,
    metric: Annotated[str | None, _choice(HEATMAP_METRICS)] = None,
    split: Split = None,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A metric over learning rates and weight decays, one panel an optimizer."""
    options = {"metric": metric, "split": split}
    return _sent(
        sensitivity.figure(
            sweep_id, "heatmap", part, file_format=file_format, theme=theme, options=options
        )
    )


@router.get("/sweeps/{sweep_id}/figures", responses=problems(NotFoundProblem))
def list_figures(sweep_id: str, stored: Annotated[Database, Depends(database)]) -> list[FigureView]:
    """The figures there are and the options each takes."""
    with stored.snapshot() as session:
        require_sweep(session, sweep_id)
    return [
        FigureView(name=figure.name, summary=figure.summary, options=list(figure.options))
        for figure in describe_figures()
    ]


@router.get("/sweeps/{sweep_id}/figures/{name}", responses=FIGURE)
def show_figure(
    sweep_id: str,
    name: Annotated[str, Path(json_schema_extra={"enum": list(FIGURES)})],
    sensitivity: Sensitivity,
    part: Part,
    metric: Annotated[
        str | None, _choice(HEATMAP_METRICS, description="Of heatmap and curvature-scatter.")
    ] = None,
    split: Split = None,
    budget: Annotated[
        str | None,
        _choice(("configurations", "gradient_evaluations"), description="Of expected-max."),
    ] = None,
    x: Annotated[
        str | None, _choice(("epoch", "gradient_evaluations"), description="Of learning-curves.")
    ] = None,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A figure as its data (json, csv), its Vega-Lite specification, or a picture (svg, png)."""
    options = {"metric": metric, "split": split, "budget": budget, "x": x}
    return _sent(
        sensitivity.figure(
            sweep_id, name, part, file_format=file_format, theme=theme, options=options
        )
    )


@router.get("/sweeps/{sweep_id}/report.html", responses=_answers(None, {"html": "text/html"}))
def show_report(
    sweep_id: str, sensitivity: Sensitivity, part: Part, theme: Theme = "light"
) -> Response:
    """Summary, caveats, comparisons and every figure as one page that needs no network."""
    return _sent(sensitivity.report(sweep_id, part, theme=theme))


@router.get("/compare", responses=_answers(SweepComparison, COMPARISON_FORMATS))
def compare(
    sweeps: Sweeps,
    sensitivity: Sensitivity,
    epsilon: Epsilon = EPSILON,
    file_format: ComparisonFormat = "json",
) -> Response:
    """Sweeps side by side: the same grid on other models, data or code versions.

    With two or more workloads also scores normalised within each, and performance profiles.
    """
    return _sent(sensitivity.compare(_ids(sweeps), epsilon=epsilon, file_format=file_format))


@router.get("/compare/figures/{name}", responses=FIGURE)
def show_comparison_figure(
    name: Annotated[str, Path(json_schema_extra={"enum": list(COMPARISON_FIGURES)})],
    sweeps: Sweeps,
    sensitivity: Sensitivity,
    epsilon: Epsilon = EPSILON,
    file_format: FigureFormat = "json",
    theme: Theme = "light",
) -> Response:
    """A figure of several sweeps, in the formats of a sweep's figures."""
    return _sent(
        sensitivity.comparison_figure(
            _ids(sweeps), name, epsilon=epsilon, file_format=file_format, theme=theme
        )
    )


def _ids(sweeps: str) -> list[str]:
    """Ids without what stands around them."""
    return [sweep_id for part in sweeps.split(",") if (sweep_id := part.strip())]


def _sent(answer: Answer) -> Response:
    """An answer over HTTP."""
    return Response(answer.content, media_type=answer.media_type)
