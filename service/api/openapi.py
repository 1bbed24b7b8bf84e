"""OpenAPI document: media types of problems and events, roles and responses of the gate."""

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
        "itemSchema": {  # of OpenAPI 3.2; earlier readers treat the stream as text
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
_FROM_ANY_REQUEST: tuple[type[Problem], ...] = (
    TooLargeProblem,
    MisdirectedProblem,
    TooManyRequestsProblem,
    UnavailableProblem,
)
"""Problems that any request may be answered with."""
_FROM_PROTECTED_REQUESTS: tuple[type[Problem], ...] = (UnauthenticatedProblem, ForbiddenProblem)
"""Further problems of requests that need a role."""


class DocumentedAPI(FastAPI):
    """FastAPI with an OpenAPI document that describes problems, specification and access.

    Problem details have their own media type, the specification has its schema, and every operation
    states its role and the responses of the gate.
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
    """Add the required role of an operation, and the responses of the gate."""
    problems = _FROM_ANY_REQUEST
    role = required_role(method.upper(), path)
    if role is not None:
        problems += _FROM_PROTECTED_REQUESTS
        operation["security"] = [{name: [role]} for name in _SCHEMES]
    for problem in problems:
        operation["responses"].setdefault(
            str(problem.status),
            {"description": problem.__doc__, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}},
        )
