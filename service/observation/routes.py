"""The template of the path a request was routed by, such as ``/api/v1/sweeps/{sweep_id}``."""

from __future__ import annotations

from starlette.types import Scope

__all__ = ["route_template"]

_UNKNOWN = "unknown"
_MOUNTED = "/static"


def route_template(scope: Scope) -> str:
    """The template, made of the path and the parameters that routing found in it.

    There are as many as there are routes, whatever callers ask for: labels of metrics need that.
    """
    path: str = scope["path"]
    if path.startswith(f"{_MOUNTED}/"):
        return _MOUNTED
    if "endpoint" not in scope:
        return _UNKNOWN
    left = list(scope.get("path_params", {}).items())
    segments = []
    for segment in path.split("/"):
        if left and segment == str(left[0][1]):
            segment = f"{{{left.pop(0)[0]}}}"
        segments.append(segment)
    return "/".join(segments)
