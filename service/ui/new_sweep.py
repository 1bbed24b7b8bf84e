"""The page that submits a sweep: presets, an editor that is checked as one types, a dry run."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs

import yaml
from fastapi import APIRouter, Depends, Response, status
from fastapi.responses import RedirectResponse

from service.api.catalog import list_presets
from service.api.dependencies import read_text, sweep_service
from service.catalog.presets import preset_text
from service.problems import InvalidProblem, Problem
from service.security.access import Principal
from service.security.csrf import require_same_origin
from service.sweeps.schemas import DryRunView
from service.sweeps.service import SweepService
from service.ui.permissions import Caller, allows
from service.ui.rendering import PageRoute, render_page
from workers.spec import SpecError, SpecProblem, load_spec, read_stored

__all__ = ["Check", "read_form", "router", "specification_text"]

router = APIRouter(route_class=PageRoute)

Sweeps = Annotated[SweepService, Depends(sweep_service)]

_FIRST_PRESET = "digits"
_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong with a specification, or what it would cost."""

    problems: list[SpecProblem]
    estimate: DryRunView | None


def read_form(body: Annotated[str, Depends(read_text)]) -> dict[str, str]:
    """The fields of a form, within the size any request may have.

    Raises:
        InvalidProblem: There are more fields than any form has.
    """
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        count = body.count("&") + 1
        detail = f"the form has {count} fields; at most {_MOST_FIELDS} are allowed"
        raise InvalidProblem(detail, code="too-many-fields") from None
    return {name: values[0] for name, values in fields.items()}


Form = Annotated[dict[str, str], Depends(read_form)]


@router.get("/new")
def show_editor(sweeps: Sweeps, caller: Caller, preset: str = "", clone: str = "") -> Response:
    """The editor with a preset or with another sweep's specification."""
    if clone:
        text = specification_text(sweeps.get(clone).specification)
    else:
        text = preset_text(preset or _FIRST_PRESET)
    return _editor(sweeps, caller, text, preset=preset or ("" if clone else _FIRST_PRESET))


@router.post("/new/check", dependencies=[Depends(require_same_origin)])
def check(form: Form, sweeps: Sweeps, caller: Caller) -> Response:
    """What the editor shows while one types."""
    return render_page("_check.html", check=_check(sweeps, caller, form.get("specification", "")))


@router.post("/new", dependencies=[Depends(require_same_origin)])
def submit(form: Form, sweeps: Sweeps, caller: Caller) -> Response:
    """Submit what is in the editor; errors come back with it."""
    text = form.get("specification", "")
    # The same form sent twice is one sweep; edited and sent again it is another.
    key = hashlib.sha256(f"{form.get('form', '')}\n{text}".encode()).hexdigest()
    try:
        sweep, _ = sweeps.submit(load_spec(text), f"page-{key}", submitter=caller)
    except SpecError:
        return _editor(sweeps, caller, text, status_code=422)
    except Problem as problem:
        return _editor(sweeps, caller, text, status_code=problem.status, refusal=problem.detail)
    return RedirectResponse(f"/sweeps/{sweep.sweep_id}", status.HTTP_303_SEE_OTHER)


def specification_text(specification: dict[str, object]) -> str:
    """A stored specification as YAML for people, without what is default anyway."""
    model = read_stored(specification)
    plain = model.model_dump(mode="json", exclude_defaults=True)
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return text


def _editor(
    sweeps: SweepService,
    caller: Principal,
    text: str,
    *,
    preset: str = "",
    status_code: int = 200,
    refusal: str | None = None,
) -> Response:
    return render_page(
        "new.html",
        status_code=status_code,
        caller=caller,
        may_submit=allows(caller, "/new"),
        presets=list_presets(),
        preset=preset,
        text=text,
        form_id=secrets.token_hex(8),
        check=_check(sweeps, caller, text),
        refusal=refusal,
    )


def _check(sweeps: SweepService, caller: Principal, text: str) -> Check:
    try:
        return Check([], sweeps.estimate(load_spec(text), submitter=caller))
    except SpecError as error:
        return Check(error.problems, None)
