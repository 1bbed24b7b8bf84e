"""Responses of pages: rendered templates, drawn figures and errors, with security headers.

The Content-Security-Policy allows only files of this service: no inline script or style, no
``eval`` (Vega runs in its interpreter), no other host. Templates escape all text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.api.error_handlers import unavailable_detail
from service.problems import Problem
from service.sensitivity.errors import SummaryError
from service.sensitivity.figures import MEDIA_TYPES, render
from service.sensitivity.number_format import accuracy_label, score_label, split_label
from service.sensitivity.report import TEMPLATES
from service.ui import labels
from service.ui.links import configuration_query
from service.unavailable import ExternalServiceError
from workers.hyperparameter_text import value_text
from workers.spec.configuration import freeze_value

__all__ = ["PageRoute", "figure_response", "render_error", "render_page"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# The middleware `SecurityHeaders` adds those that are the same for every response.
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
"""Escape sequences that change the colours of a terminal."""


def render_page(template: str, /, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """Render a template with the headers of every page."""
    text = _ENVIRONMENT.get_template(template).render(context)
    return HTMLResponse(text, status_code, _HEADERS)


def figure_response(spec: dict[str, Any], file_format: str) -> Response:
    """A figure as a file.

    Args:
        spec: A Vega-Lite specification.
        file_format: "vega-lite" for the specification itself, "svg" for a picture.
    """
    content = json.dumps(spec).encode() if file_format == "vega-lite" else render(spec, file_format)
    return Response(content, media_type=MEDIA_TYPES[file_format], headers=_HEADERS)


class PageRoute(APIRoute):
    """Route of a page: its errors are HTML pages instead of problem details (JSON)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of this route, which renders errors."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as error:
                return render_error(error.status, error.title, error.detail)
            except ExternalServiceError as error:
                return render_error(503, "Unavailable", unavailable_detail(request, error))
            except SummaryError as error:
                return render_error(422, "Not available", str(error))
            except RequestValidationError as error:
                details = [f"{detail['loc'][-1]}: {detail['msg']}" for detail in error.errors()]
                return render_error(422, "Invalid request", "; ".join(details))

        return handle


def render_error(status: int, title: str, detail: str) -> HTMLResponse:
    """Render an error as a page."""
    return render_page("error.html", status_code=status, title=title, detail=detail)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader([Path(__file__).parent / "templates", TEMPLATES]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "comparison_sentence": labels.comparison_sentence,
    "integer": labels.integer,
    "counted": labels.counted,
    "duration": labels.duration,
    "metric_title": labels.metric_title,
    "moment": labels.moment,
    "number": labels.number,
    "optimizer_title": labels.optimizer_title,
    "percent": accuracy_label,
    "score": score_label,
    "percentage": labels.percentage,
    "split_title": split_label,
    "value": lambda value: value_text(freeze_value(value)),
    "without_colour_codes": lambda text: _COLOUR_CODES.sub("", text),
}
_ENVIRONMENT.globals["configuration_query"] = configuration_query
