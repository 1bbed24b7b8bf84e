"""The document of the HTTP API, where it differs from what FastAPI writes by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.events import EventView
from service.problems import MEDIA_TYPE, Problem, TooLargeProblem, UnavailableProblem
from service.security.access import required_role
from service.security.errors import (
    ForbiddenProblem,
    MisdirectedProblem,
    TooManyRequestsProblem,
    UnauthenticatedProblem,
)
from service.security.sessions import COOKIE
from workers.spec import SweepSpec

__all__ = ["EVENT_STREAM", "SPECIFICATION_BODY", "DocumentedAPI"]

_COMPONENTS = "#/components/schemas/{model}"
_PROBLEM = {"$ref": _COMPONENTS.format(model="ProblemDetails")}

SPECIFICATION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": {"$ref": _COMPONENTS.format(model="SweepSpec")}}
            for media in ("application/json", "application/yaml")
        },
    }
}
"""The body of an endpoint that reads a specification as text."""

EVENT_STREAM: dict[str, Any] = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "itemSchema": {  # OpenAPI 3.2's word; earlier readers take the stream for text
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "event": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": _COMPONENTS.format(model="EventView")},
                },
            },
        },
    }
}
"""The content of an endpoint that sends events."""


_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token; see `sasam token`."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A login."},
}
_ANYWHERE: tuple[type[Problem], ...] = (
    TooLargeProblem,
    MisdirectedProblem,
    TooManyRequestsProblem,
    UnavailableProblem,
)
"""What any request may be answered with."""
_KNOWN_CALLERS_ALONE: tuple[type[Problem], ...] = (UnauthenticatedProblem, ForbiddenProblem)


class DocumentedAPI(FastAPI):
    """FastAPI, with problem details under their own media type and the specification described.

    Every operation says who may call it, and how the gate before it refuses.
    """

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _document_access(operation, method, path)
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if content.get("application/json") == {"schema": _PROBLEM}:
                        content[MEDIA_TYPE] = content.pop("application/json")
        _, further = models_json_schema(
            [(SweepSpec, "validation"), (EventView, "serialization")], ref_template=_COMPONENTS
        )
        document["components"]["schemas"] |= further["$defs"]
        return document


def _document_access(operation: dict[str, Any], method: str, path: str) -> None:
    """Say which role an operation needs, and what else the gate may answer."""
    problems = _ANYWHERE
    role = required_role(method.upper(), path)
    if role is not None:
        problems += _KNOWN_CALLERS_ALONE
        operation["security"] = [{name: [role]} for name in _SCHEMES]
    for problem in problems:
        operation["responses"].setdefault(
            str(problem.status),
            {"description": problem.__doc__, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}},
        )
