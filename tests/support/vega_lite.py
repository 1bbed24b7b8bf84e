"""Validation of figures against the schema of Vega-Lite."""

from functools import cache
from typing import Any

from altair.vegalite.v6.schema.core import load_schema
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

__all__ = ["require_valid_vega_lite"]


def require_valid_vega_lite(specification: dict[str, Any]) -> None:
    """Refuse a figure that is not valid Vega-Lite.

    `altair.Chart.from_dict` would validate every level of it again.

    Raises:
        jsonschema.ValidationError: It is not.
    """
    _validator().validate(specification)


@cache
def _validator() -> Validator:
    schema = load_schema()
    return validator_for(schema)(schema)
