"""Templates to responses: escaping, headers, and errors as pages.

The Content-Security-Policy allows this service's own files and nothing else: no inline script or
style, no ``eval`` (Vega runs in its interpreter), no other address.
"""

from __future__ import annotations

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
from service.sensitivity.number_format import accuracy_label, signed_points_label, split_label
from service.ui import labels
from service.unavailable import ExternalServiceError

__all__ = ["HEADERS", "PageRoute", "render_error", "render_page"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What tells a terminal to change its colour."""


def render_page(template: str, /, *, status_code: int = 200, **context: Any) -> HTMLResponse:
    """A template as a response with the headers of every page."""
    text = _ENVIRONMENT.get_template(template).render(context)
    return HTMLResponse(text, status_code, HEADERS)


class PageRoute(APIRoute):
    """Answers errors as a page for people instead of problem details for programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of this route, with its errors rendered."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as error:
                return render_error(error.status, error.title, error.detail)
            except ExternalServiceError as error:
                return render_error(503, "Unavailable", unavailable_detail(request, error))
            except SummaryError as error:
                return render_error(422, "No answer", str(error))
            except RequestValidationError as error:
                details = [f"{detail['loc'][-1]}: {detail['msg']}" for detail in error.errors()]
                return render_error(422, "Invalid request", "; ".join(details))

        return handle


def render_error(status: int, title: str, detail: str) -> HTMLResponse:
    """An error as a page for people."""
    return render_page("error.html", status_code=status, title=title, detail=detail)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "percent": accuracy_label,
    "points": signed_points_label,
    "duration": labels.duration,
    "moment": labels.moment,
    "number": labels.number,
    "optimizer_title": labels.optimizer_title,
    "split_title": split_label,
    "short": lambda value: f"{value:.4g}",
    "metric_title": labels.metric_title,
    "uncoloured": lambda text: _COLOURS.sub("", text),
}
