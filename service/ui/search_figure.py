"""The configurations of a search that is no grid, in the place of heatmaps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import altair as alt
from fastapi import APIRouter, Depends, Query, Response

from service.api.dependencies import database
from service.problems import NotFoundProblem
from service.sensitivity.figures import MEDIA_TYPES, render
from service.sensitivity.figures.figure_data import Datum
from service.sensitivity.figures.theme import RECORDS, theme_of, themed, titled
from service.storage import Database
from service.sweeps.service import require_sweep
from service.trials.repository import BestConfiguration, TrialRepository
from service.ui.labels import optimizer_title
from service.ui.rendering import HEADERS, PageRoute
from workers.spec import read_stored

__all__ = ["draw_search", "router", "search_records"]

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}")

_MOST_SHOWN = 2_000
_PANELS_A_ROW = 3
_SIZE = 190


@router.get("/search")
def show_search(
    sweep_id: str,
    stored: Annotated[Database, Depends(database)],
    picture_format: Annotated[Literal["vega-lite", "svg"], Query(alias="format")] = "vega-lite",
    theme: Literal["light", "dark"] = "light",
) -> Response:
    """Validation accuracy over learning rate and weight decay."""
    with stored.snapshot() as session:
        specification = read_stored(require_sweep(session, sweep_id).specification)
        found = TrialRepository(session).best_configurations(sweep_id, _MOST_SHOWN)
    if not found:
        raise NotFoundProblem("no trial has completed yet", code="unknown-figure")
    titles = [optimizer_title(label) for label in specification.labels]
    spec = draw_search(search_records(found, f"/sweeps/{sweep_id}/trials"), titles, theme)
    content = json.dumps(spec).encode() if picture_format == "vega-lite" else render(spec, "svg")
    return Response(content, media_type=MEDIA_TYPES[picture_format], headers=HEADERS)


def search_records(found: Sequence[BestConfiguration], trials: str) -> list[Datum]:
    """A record a configuration, the best last so that it lies on top.

    Args:
        found: Best first.
        trials: Address of the list of trials.
    """
    return [
        {
            "title": optimizer_title(best.optimizer),
            "learning_rate": best.learning_rate,
            "weight_decay": best.weight_decay,
            "accuracy": best.accuracy,
            "trials": f"{trials}?{_query(best)}",
        }
        for best in reversed(found)
    ]


def draw_search(records: list[Datum], titles: list[str], theme: str = "light") -> dict[str, Any]:
    """A panel an optimizer: learning rate to the right, weight decay up, accuracy as colour."""
    points = (
        alt.Chart(RECORDS)
        .mark_circle(size=90, opacity=1, stroke="#888", strokeWidth=0.5)
        .encode(
            x=alt.X(
                "learning_rate:Q",
                title="learning rate",
                scale=alt.Scale(type="log", nice=False, padding=12),
                axis=alt.Axis(format=".0e", tickCount=4),
            ),
            y=alt.Y(
                "weight_decay:Q",
                title="weight decay",
                scale=_decay_scale([float(str(record["weight_decay"])) for record in records]),
                axis=alt.Axis(format=".0e", tickCount=4),
            ),
            color=alt.Color(
                "accuracy:Q",
                title="validation accuracy",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(format="~%", orient="bottom", gradientLength=200),
            ),
            href="trials:N",
            tooltip=[
                alt.Tooltip("learning_rate:Q", title="learning rate", format=".3g"),
                alt.Tooltip("weight_decay:Q", title="weight decay", format=".3g"),
                alt.Tooltip("accuracy:Q", title="validation accuracy", format=".1%"),
            ],
        )
        .properties(width=_SIZE, height=_SIZE)
    )
    facet = alt.Facet("title:N", title=None, sort=titles)
    panels = points.facet(facet=facet, columns=_PANELS_A_ROW)
    if len(records) == _MOST_SHOWN:
        panels = panels.properties(title=titled(f"The best {_MOST_SHOWN:,} configurations", []))
    return themed(panels, records, theme_of(theme))


def _decay_scale(values: Sequence[float]) -> alt.Scale:
    """Logarithmic; linear around a weight decay of zero where there is one."""
    if min(values) > 0:
        return alt.Scale(type="log", nice=False, padding=12)
    least = min((value for value in values if value > 0), default=1.0)
    return alt.Scale(type="symlog", constant=least / 10, nice=False, padding=12)


def _query(best: BestConfiguration) -> str:
    place = {"learning_rate": best.learning_rate, "weight_decay": best.weight_decay}
    return urlencode({"optimizer": best.optimizer} | place)
