"""Page that submits a sweep: presets and an editor with validation and a cost estimate."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Response, status
from fastapi.responses import RedirectResponse

from service.api.catalog import list_presets
from service.catalog.presets import preset_text
from service.problems import ConflictProblem, Problem
from service.security.access import Principal
from service.security.csrf import require_same_origin
from service.sweeps.schemas import DryRunView
from service.sweeps.service import SweepService
from service.ui.dependencies import Caller, SweepsDep, may_post
from service.ui.forms import Form
from service.ui.page_responses import PageRoute, render_page
from workers.spec import SpecError, SpecProblem, load_spec
from workers.spec.lines import line_of

__all__ = ["Check", "router"]

router = APIRouter(route_class=PageRoute)

_FIRST_PRESET = "digits"


@dataclass(frozen=True, slots=True)
class Check:
    """The problems of a specification with their lines, or the estimated cost of a valid one."""

    problems: list[tuple[SpecProblem, int | None]]
    estimate: DryRunView | None


@router.get("/new")
def show_editor(
    sweeps: SweepsDep, caller: Caller, preset: str = "", clone: str = "", extend: str = ""
) -> Response:
    """Show the editor with a preset, or with the specification of a sweep to clone or extend."""
    if known := extend or clone:
        return _editor(sweeps, caller, sweeps.text(known), extended=extend)
    preset = preset or _FIRST_PRESET
    return _editor(sweeps, caller, preset_text(preset), preset=preset)


@router.post("/new/check", dependencies=[Depends(require_same_origin)])
def check(form: Form, sweeps: SweepsDep, caller: Caller) -> Response:
    """Validate the specification; the editor requests this while the user types."""
    found = _check(sweeps, caller, form.get("specification", ""), form.get("extend", ""))
    return render_page("_check.html", check=found)


@router.post("/new", dependencies=[Depends(require_same_origin)])
def submit(form: Form, sweeps: SweepsDep, caller: Caller) -> Response:
    """Submit the specification; if it is refused, show the editor again with the errors."""
    text = form.get("specification", "")
    # Sending the same form twice submits one sweep; an edited form submits another one.
    key = hashlib.sha256(f"{form.get('form', '')}\n{text}".encode()).hexdigest()
    try:
        sweep, _ = sweeps.submit(load_spec(text), f"page-{key}", submitter=caller, text=text)
    except SpecError:
        return _editor(sweeps, caller, text, status_code=422)
    except Problem as problem:
        return _editor(sweeps, caller, text, refusal=problem)
    return RedirectResponse(f"/sweeps/{sweep.sweep_id}", status.HTTP_303_SEE_OTHER)


@router.post("/sweeps/{sweep_id}/extend", dependencies=[Depends(require_same_origin)])
def extend(sweep_id: str, form: Form, sweeps: SweepsDep, caller: Caller) -> Response:
    """Extend a sweep; if that is refused, show the editor again with the errors."""
    text = form.get("specification", "")
    force = form.get("force") == "true"
    try:
        sweeps.extend(sweep_id, load_spec(text), submitter=caller, text=text, accept_changes=force)
    except SpecError:
        return _editor(sweeps, caller, text, status_code=422, extended=sweep_id)
    except ConflictProblem as problem:
        return _editor(sweeps, caller, text, extended=sweep_id, refusal=problem)
    return RedirectResponse(f"/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)


def _editor(
    sweeps: SweepService,
    caller: Principal,
    text: str,
    *,
    preset: str = "",
    extended: str = "",
    status_code: int = 200,
    refusal: Problem | None = None,
) -> Response:
    return render_page(
        "new.html",
        status_code=refusal.status if refusal else status_code,
        extended=sweeps.get(extended) if extended else None,
        caller=caller,
        may_submit=may_post(caller, "/new"),
        presets=list_presets(),
        preset=preset,
        text=text,
        form_id=secrets.token_hex(8),
        check=_check(sweeps, caller, text, extended),
        refusal=refusal,
    )


def _check(sweeps: SweepService, caller: Principal, text: str, extended: str) -> Check:
    try:
        specification = load_spec(text)
        return Check(
            [], sweeps.estimate(specification, submitter=caller, extended=extended or None)
        )
    except SpecError as error:
        return Check([(problem, line_of(text, problem)) for problem in error.problems], None)
