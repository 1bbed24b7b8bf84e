"""The document of the HTTP API, where it differs from what FastAPI writes by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from service.errors import MEDIA_TYPE
from workers.spec import SweepSpec

__all__ = ["SPECIFICATION_BODY", "DocumentedAPI"]

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
        _, specification = models_json_schema([(SweepSpec, "validation")], ref_template=_COMPONENTS)
        document["components"]["schemas"] |= specification["$defs"]
        return document
