"""Messages of validation errors: what is wrong and what is allowed, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.spec.fields import PATTERNS

__all__ = ["MESSAGES", "message_of"]

MESSAGES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "invalid_key": "must have text as keys",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "model_type": "must be a mapping",
    "recursion_loop": "is nested too deeply",
    "recursion_depth_exceeded": "is nested too deeply",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode",
    "too_long": "must have at most {max_length} entries",
    "too_short": "must have at least {min_length} entry",
    "tuple_type": "must be a list",
}
"""Messages by pydantic's type of error."""


def message_of(detail: Mapping[str, Any]) -> str:
    """The message of an error of pydantic.

    Args:
        detail: An entry of `pydantic.ValidationError.errors`.
    """
    kind = detail["type"]
    context = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in detail.get("ctx", {}).items()
    }
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return PATTERNS[str(context["pattern"])]
    if detail["loc"][-1:] == ("[key]",):
        kind = "invalid_key"
    message = MESSAGES.get(kind, str(detail["msg"])).format(**context)
    if kind in {"float_type", "int_type"} and isinstance(detail["input"], str):
        return f"{message}, not text"
    return message
