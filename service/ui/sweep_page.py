"""Page of one sweep: its sections, figures, events, logs and commands."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from service.events.repository import EventRepository
from service.problems import ConflictProblem, InvalidProblem, NotFoundProblem
from service.security.csrf import require_same_origin
from service.sensitivity.figures import page_figures
from service.sensitivity.hyperparameters import ordered
from service.states import Command
from service.summaries.loading import axes_of
from service.sweeps.annotations import SweepChanges
from service.sweeps.service import require_sweep
from service.trials.repository import TrialRepository
from service.ui import sweep_sections
from service.ui.dependencies import (
    Caller,
    DatabaseDep,
    DriverLogsDep,
    FigureFormat,
    MlflowDep,
    SummariesDep,
    SweepsDep,
    Theme,
)
from service.ui.forms import Form
from service.ui.heatmap_view import HeatmapView, Name, choose_view_plane
from service.ui.labels import optimizer_title
from service.ui.page_responses import PageRoute, figure_response, render_page
from service.ui.search_scatter import MAX_CONFIGURATIONS, draw_search_scatter, search_records
from service.ui.timeline import timeline
from workers.hyperparameter_text import axis_titles
from workers.spec import read_stored

__all__ = ["router"]

router = APIRouter(route_class=PageRoute, prefix="/sweeps/{sweep_id}")

_LARGE_SWEEP_TRIALS = 1_000
"""The results of fewer trials are computed within a fraction of a second."""
_MAX_LOG_LINES = 500
_EVENTS_PER_PAGE = 100

View = Annotated[HeatmapView, Depends()]


@router.get("")
def show_sweep(
    sweep_id: str,
    view: View,
    database: DatabaseDep,
    sweeps: SweepsDep,
    summaries: SummariesDep,
    caller: Caller,
    figure: Name = None,
    axis: Name = None,
    whole: bool = False,
) -> Response:
    """Show a sweep; the page of a large one loads its results afterwards, unless ``whole``."""
    sweep = sweeps.get(sweep_id)
    is_large = sweep.progress.ended > _LARGE_SWEEP_TRIALS
    specification = read_stored(sweep.specification)
    figures = page_figures(specification.search.type)
    names = dict.fromkeys(
        name for label in specification.labels for name in specification.axes(label)
    )
    context: dict[str, Any] = {
        **sweep_sections.running(sweep, database),
        **(
            sweep_sections.results_to_load(view)
            if is_large and not whole
            else sweep_sections.results(sweep, database, summaries, view)
        ),
        **sweep_sections.history(sweep, database),
        **sweep_sections.status(sweep, caller),
    }
    return render_page(
        "sweep.html",
        **context,
        figures=figures,
        figure=figure or next(iter(figures)),
        axes=axis_titles(ordered(names)),
        axis=axis,
    )


@router.get("/status")
def show_status(sweep_id: str, sweeps: SweepsDep, caller: Caller) -> Response:
    """Show the section with state, progress and commands."""
    return render_page("_status.html", **sweep_sections.status(sweeps.get(sweep_id), caller))


@router.get("/running")
def show_running(
    sweep_id: str, database: DatabaseDep, sweeps: SweepsDep, mlflow: MlflowDep
) -> Response:
    """Show the section with the running trials and their sparklines."""
    context = sweep_sections.running(sweeps.get(sweep_id), database, mlflow)
    return render_page("_running.html", **context)


@router.get("/results")
def show_results(
    sweep_id: str,
    view: View,
    database: DatabaseDep,
    sweeps: SweepsDep,
    summaries: SummariesDep,
) -> Response:
    """Show the section with heatmaps and sensitivity."""
    sweep = sweeps.get(sweep_id)
    context = sweep_sections.results(sweep, database, summaries, view)
    return render_page("_results.html", **context)


@router.get("/history")
def show_history(sweep_id: str, database: DatabaseDep, sweeps: SweepsDep) -> Response:
    """Show the section with the newest events."""
    return render_page("_history.html", **sweep_sections.history(sweeps.get(sweep_id), database))


@router.get("/events")
def show_events(
    sweep_id: str,
    database: DatabaseDep,
    sweeps: SweepsDep,
    caller: Caller,
    before: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
) -> Response:
    """List all events, newest first, one page at a time."""
    sweep = sweeps.get(sweep_id)
    with database.snapshot() as session:
        events = EventRepository(session).newest(
            sweep_id, limit=_EVENTS_PER_PAGE + 1, all_trials=True, before=before
        )
    shown = events[:_EVENTS_PER_PAGE]
    return render_page(
        "events.html",
        sweep=sweep,
        caller=caller,
        entries=timeline(shown),
        earlier=shown[-1].number if len(events) > len(shown) else None,
        before=before,
    )


@router.get("/search")
def show_search(
    sweep_id: str,
    view: View,
    database: DatabaseDep,
    file_format: FigureFormat = "vega-lite",
    theme: Theme = "light",
) -> Response:
    """Draw the configurations of a random or TPE search."""
    with database.snapshot() as session:
        specification = read_stored(require_sweep(session, sweep_id).specification)
        score = specification.scored_by
        best = TrialRepository(session).best_configurations(sweep_id, MAX_CONFIGURATIONS, score)
    plane = choose_view_plane(
        [axes_of(specification, label) for label in specification.labels], view
    )
    records = search_records(best, plane, f"/sweeps/{sweep_id}/trials") if plane else []
    if plane is None or not records:
        raise NotFoundProblem("no trial has completed yet", code="unknown-figure")
    titles = [optimizer_title(label) for label in specification.labels]
    return figure_response(draw_search_scatter(records, plane, titles, score, theme), file_format)


@router.get("/log")
def show_log(sweep_id: str, sweeps: SweepsDep, logs: DriverLogsDep) -> Response:
    """Show the last lines that the driver of each attempt printed."""
    attempts = range(1, sweeps.get(sweep_id).attempt + 1)
    found = logs.read(sweep_id, attempts, lines=_MAX_LOG_LINES)
    texts = {f"Attempt {number}": text for number, text in found if text}
    return render_page("_log.html", texts=texts, empty="The driver has not printed anything yet.")


@router.post("/annotate", dependencies=[Depends(require_same_origin)])
def annotate(sweep_id: str, sweeps: SweepsDep, form: Form) -> Response:
    """Change name, tags and description, or archive, and return to the sweep.

    Raises:
        RequestValidationError: A value is invalid.
        InvalidProblem: A line of the tags is not ``name=value``.
    """
    given: dict[str, Any] = {name: form[name] for name in ("name", "description") if name in form}
    if "tags" in form:
        given["tags"] = _tags(form["tags"])
    if "archived" in form:
        given["archived"] = form["archived"] == "true"
    try:
        changes = SweepChanges.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    sweeps.annotate(sweep_id, changes)
    return RedirectResponse(f"/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)


@router.post("/{command}", dependencies=[Depends(require_same_origin)])
def command(
    sweep_id: str, command: Command, sweeps: SweepsDep, caller: Caller, form: Form
) -> Response:
    """Send a command and return to the sweep; a change of the code needs the user's consent."""
    if command is Command.DELETE:
        sweeps.delete(sweep_id)
        return RedirectResponse("/", status.HTTP_303_SEE_OTHER)
    try:
        sweeps.command(sweep_id, command, accept_changes=form.get("force") == "true")
    except ConflictProblem as problem:
        if problem.code != "code-changed":
            raise
        return render_page(
            "consent.html",
            status_code=problem.status,
            sweep=sweeps.get(sweep_id),
            caller=caller,
            command=command,
            changed=problem.extra,
        )
    return RedirectResponse(f"/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)


def _tags(text: str) -> dict[str, str]:
    """Tags from the lines of a form.

    Raises:
        InvalidProblem: A line is not ``name=value``.
    """
    tags = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals:
            detail = f"tags: a line must be name=value (got {line[:80]!r})"
            raise InvalidProblem(detail, code="invalid-tags")
        tags[name.strip()] = value.strip()
    return tags
