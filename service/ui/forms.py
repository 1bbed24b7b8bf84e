"""Parsing of submitted HTML forms."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends

from service.api.dependencies import read_text
from service.problems import InvalidProblem

__all__ = ["Form"]

_MAX_FIELDS = 100


def _read_form(body: Annotated[str, Depends(read_text)]) -> dict[str, str]:
    """Parse a form; the first value of a repeated field counts.

    Raises:
        InvalidProblem: The form has more than ``_MAX_FIELDS`` fields.
    """
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        count = body.count("&") + 1
        detail = f"the form has {count} fields; at most {_MAX_FIELDS} are allowed"
        raise InvalidProblem(detail, code="too-many-fields") from None
    return {name: values[0] for name, values in fields.items()}


Form = Annotated[dict[str, str], Depends(_read_form)]
"""The fields of the submitted form; its size is limited like that of every request body."""
