"""The document of the HTTP API, where it differs from what FastAPI writes by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.errors import MEDIA_TYPE
from service.events.schemas import EventView
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


class DocumentedAPI(FastAPI):
    """FastAPI, with problem details under their own media type and the specification described."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if content.get("application/json") == {"schema": _PROBLEM}:
                        content[MEDIA_TYPE] = content.pop("application/json")
        _, further = models_json_schema(
            [(SweepSpec, "validation"), (EventView, "serialization")], ref_template=_COMPONENTS
        )
        document["components"]["schemas"] |= further["$defs"]
        return document
