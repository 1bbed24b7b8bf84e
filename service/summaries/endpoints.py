"""HTTP for tuning sensitivity: summary, heatmap, figures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from service.dependencies import database
from service.storage import Database
from service.summaries.figures import MEDIA_TYPES, compute_figure, export_figure
from service.summaries.schemas import SweepSummary
from service.summaries.summary import summarize
from service.summaries.table import TrialTable
from service.summaries.tables import summary_csv, summary_latex
from service.summaries.trials import trial_table
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository

__all__ = ["router", "table_of_sweep"]

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["summaries"])

Theme = Literal["light", "dark"]


def table_of_sweep(sweep_id: str, stored: Annotated[Database, Depends(database)]) -> TrialTable:
    """The trials of the sweep in the path."""
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
        return trial_table(sweep, TrialRepository(session).of_sweep(sweep_id))


Table = Annotated[TrialTable, Depends(table_of_sweep)]


@router.get("/summary", responses={200: {"model": SweepSummary}})
def summary(
    table: Table,
    response_format: Annotated[Literal["json", "csv", "latex"], Query(alias="format")] = "json",
    target: float | None = None,
) -> Response:
    """How much each optimizer depends on tuning.

    Per optimizer the configuration with the best validation accuracy, its OOD accuracy and
    curvature, the divergence rate, ``lr_sensitivity`` and more; never OOD-selected.
    """
    found = summarize(table, target=target)
    if response_format == "csv":
        return Response(summary_csv(found), media_type="text/csv")
    if response_format == "latex":
        return Response(summary_latex(found), media_type="application/x-latex")
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/heatmap", response_class=Response)
def show_heatmap(
    table: Table,
    metric: str | None = None,
    split: str | None = None,
    response_format: Annotated[str, Query(alias="format")] = "json",
    theme: Theme = "light",
) -> Response:
    """A metric over learning rates and weight decays, one panel an optimizer."""
    return _figure("heatmap", table, response_format, theme, metric=metric, split=split)


@router.get("/figures/{name}", response_class=Response)
def show_figure(
    name: str,
    table: Table,
    metric: str | None = None,
    split: str | None = None,
    response_format: Annotated[str, Query(alias="format")] = "json",
    theme: Theme = "light",
) -> Response:
    """A figure as its data (json, csv), its Vega-Lite specification, or a picture (svg, png)."""
    return _figure(name, table, response_format, theme, metric=metric, split=split)


def _figure(
    name: str, table: TrialTable, picture_format: str, theme: Theme, **options: Any
) -> Response:
    figure = compute_figure(name, table, **options)
    content = export_figure(figure, picture_format, theme=theme)
    return Response(content, media_type=MEDIA_TYPES[picture_format])
