"""Page that compares sweeps, with the form that selects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.sensitivity import (
    SummaryError,
    SummaryTable,
    SweepComparison,
    comparison_table,
    published_comparison_table,
)
from service.summaries.service import MAX_COMPARED, SummaryService
from service.sweeps.schemas import SweepDetail
from service.sweeps.selection import SweepSelection
from service.ui.dependencies import Caller, SummariesDep, SweepsDep
from service.ui.page_responses import PageRoute, render_page

__all__ = ["router"]

router = APIRouter(route_class=PageRoute)

_MAX_OFFERED = 50
_FIGURES = {"side-by-side": "Side by side", "learning-rates": "By learning rate"}
_FIGURES_OF_WORKLOADS = _FIGURES | {
    "performance-profiles": "Performance profiles",
    "sensitivity-plane": "Performance and sensitivity",
}


@dataclass(frozen=True, slots=True)
class _Result:
    """A comparison with its table, or the error that explains why there is none."""

    comparison: SweepComparison | None = None
    table: SummaryTable | None = None
    error: SummaryError | None = None


@router.get("/compare")
def show_comparison(
    sweep_service: SweepsDep,
    summaries: SummariesDep,
    caller: Caller,
    sweeps: Annotated[list[str] | None, Query(max_length=2 * MAX_COMPARED)] = None,
    q: Annotated[str, Query(max_length=64)] = "",
    figure: Annotated[str, Query(max_length=40)] = "side-by-side",
) -> Response:
    """Compare the selected sweeps if there are at least two, and offer others to select.

    Args:
        sweep_service: Service that searches sweeps.
        summaries: Service that compares them.
        caller: Author of the request.
        sweeps: Ids of the selected sweeps, repeated or separated by commas.
        q: Part of the names of the offered sweeps.
        figure: Name of the figure to show.
    """
    ids = list(dict.fromkeys(i for some in sweeps or () for i in some.split(",") if i))
    selected = [sweep_service.get(sweep_id) for sweep_id in ids]
    found, total = sweep_service.search(SweepSelection(text=q.strip()), limit=_MAX_OFFERED)
    result = _compare(summaries, ids) if len(ids) > 1 else _Result()
    has_workloads = result.comparison is not None and result.comparison.workloads
    figures = _FIGURES_OF_WORKLOADS if has_workloads else _FIGURES
    return render_page(
        "compare.html",
        caller=caller,
        ids=",".join(ids),
        selected=selected,
        offered=[sweep for sweep in found if sweep.sweep_id not in ids and _has_results(sweep)],
        is_cut=total > _MAX_OFFERED,
        q=q,
        comparison=result.comparison,
        table=result.table,
        published_table=published_comparison_table(result.comparison)
        if result.comparison
        else None,
        error=result.error,
        figures=figures,
        figure=figure if figure in figures else next(iter(figures)),
    )


def _compare(summaries: SummaryService, ids: list[str]) -> _Result:
    try:
        comparison = summaries.compare(ids)
    except SummaryError as error:
        return _Result(error=error)
    return _Result(comparison, comparison_table(comparison))


def _has_results(sweep: SweepDetail) -> bool:
    return bool(sweep.progress.completed or sweep.progress.diverged)
