"""Route template of a request, such as ``/api/v1/sweeps/{sweep_id}``, for labels and limits."""

from __future__ import annotations

from starlette.types import Scope

__all__ = ["route_template"]

_UNKNOWN = "unknown"
_MOUNTED = "/static"


def route_template(scope: Scope) -> str:
    """The template, from the path and the path parameters that routing found in it.

    Requests for unknown paths share one template, so that callers cannot increase the number of
    label values of a metric.
    """
    path: str = scope["path"]
    if path.startswith(f"{_MOUNTED}/"):
        return _MOUNTED
    if "endpoint" not in scope:
        return _UNKNOWN
    remaining = list(scope.get("path_params", {}).items())
    segments = []
    for segment in path.split("/"):
        if remaining and segment == str(remaining[0][1]):
            segment = f"{{{remaining.pop(0)[0]}}}"
        segments.append(segment)
    return "/".join(segments)
