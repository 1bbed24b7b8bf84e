"""Specifications as YAML text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from workers.spec.errors import SpecError
from workers.spec.parsing import parse_spec
from workers.spec.search import TpeSearch
from workers.spec.sweep import SweepSpec

__all__ = ["with_setting", "without_defaults", "yaml_text"]

_WIDTH = 100
"""Characters of a line, so that lists of values stay on one."""


def without_defaults(specification: SweepSpec) -> dict[str, Any]:
    """A specification as plain data without the fields that have their default.

    Metrics that guide a search or early stopping stay: their default follows the score.
    """
    plain: dict[str, Any] = specification.model_dump(mode="json", exclude_defaults=True)
    if specification.early_stopping is not None:
        plain["early_stopping"]["metric"] = specification.early_stopping.metric
    if isinstance(specification.search, TpeSearch):
        whole = specification.search.model_dump(mode="json", include={"objectives"})
        plain["search"] |= whole
    return plain


def with_setting(text: str, name: str, value: bool) -> str:
    """A specification with a setting of the whole sweep; its comments stay where possible.

    Args:
        text: A specification as YAML or JSON; one that cannot be read is left as it is, because
            its reader reports its problems.
        name: Name of the setting.
        value: Its value.
    """
    try:
        plain = parse_spec(text)
        if not isinstance(plain, dict):
            return text
        changed = plain | {name: value}
        if changed == plain:
            return text
        longer = f"{text.rstrip()}\n{yaml_text({name: value})}"
        if name not in plain and _parses_to(longer, changed):
            return longer
    except SpecError:
        return text
    return json.dumps(changed)


def _parses_to(text: str, plain: Any) -> bool:
    try:
        return bool(parse_spec(text) == plain)
    except SpecError:
        return False


def yaml_text(plain: Mapping[str, Any], *comments: str) -> str:
    """A specification as YAML, in its order, under comments of one line each."""
    text: str = yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return "".join(f"# {' '.join(comment.split())}\n" for comment in comments) + text
