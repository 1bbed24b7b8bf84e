"""Page that compares sweeps, with the form that selects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.api.dependencies import summary_service, sweep_service
from service.sensitivity import (
    SummaryError,
    SummaryTable,
    SweepComparison,
    comparison_table,
)
from service.summaries.service import MAX_COMPARED, SummaryService
from service.sweeps.schemas import SweepDetail
from service.sweeps.service import SweepService
from service.ui.permissions import Caller
from service.ui.rendering import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_OFFERED = 50
_ONE_FIGURE = {"side-by-side": "Side by side"}
_FIGURES = _ONE_FIGURE | {"performance-profiles": "Performance profiles"}


@dataclass(frozen=True, slots=True)
class _Compared:
    """A comparison with its table, or the reason why there is none."""

    comparison: SweepComparison | None = None
    table: SummaryTable | None = None
    refusal: SummaryError | None = None


@router.get("/compare")
def show_comparison(
    sweep_service: Annotated[SweepService, Depends(sweep_service)],
    summaries: Annotated[SummaryService, Depends(summary_service)],
    caller: Caller,
    sweeps: Annotated[list[str] | None, Query(max_length=2 * MAX_COMPARED)] = None,
    q: Annotated[str, Query(max_length=64)] = "",
    figure: Annotated[str, Query(max_length=40)] = "side-by-side",
) -> Response:
    """Compare sweeps, as soon as two are selected.

    Args:
        sweep_service: Searches sweeps.
        summaries: Compares them.
        caller: Author of the request.
        sweeps: Ids, repeated or separated by commas.
        q: Part of the names of sweeps to select from.
        figure: Which figure to show.
    """
    ids = list(dict.fromkeys(i for some in sweeps or () for i in some.split(",") if i))
    chosen = [sweep_service.get(sweep_id) for sweep_id in ids]
    found, total = sweep_service.search(text=q.strip(), limit=_OFFERED)
    compared = _compare(summaries, ids) if len(ids) > 1 else _Compared()
    figures = _FIGURES if compared.comparison and compared.comparison.workloads else _ONE_FIGURE
    return render_page(
        "compare.html",
        caller=caller,
        ids=",".join(ids),
        chosen=chosen,
        offered=[sweep for sweep in found if sweep.sweep_id not in ids and _has_results(sweep)],
        is_cut=total > _OFFERED,
        q=q,
        comparison=compared.comparison,
        table=compared.table,
        refusal=compared.refusal,
        figures=figures,
        figure=figure if figure in figures else next(iter(figures)),
    )


def _compare(summaries: SummaryService, ids: list[str]) -> _Compared:
    try:
        comparison = summaries.compare(ids)
    except SummaryError as error:
        return _Compared(refusal=error)
    return _Compared(comparison, comparison_table(comparison))


def _has_results(sweep: SweepDetail) -> bool:
    return bool(sweep.progress.completed or sweep.progress.diverged)
