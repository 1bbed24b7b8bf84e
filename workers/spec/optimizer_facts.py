"""Facts about an optimizer of a sweep that tables and figures show beside its results.

Those of built-in optimizers are in the catalog. A user's own file may declare them as attributes of
its class or function: ``title``, ``learning_rate_role`` and ``weight_decay``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from workers.catalog import LearningRateRole, WeightDecayKind, optimizers
from workers.own_code.names import CodeName
from workers.own_code.sources import declared_texts
from workers.spec.fields import LABEL_PATTERN, PATTERNS, PartError
from workers.spec.optimizers import OptimizerSpec

__all__ = ["OptimizerFacts", "check_declared_facts", "facts_of_optimizer"]

_CHOICES = {
    "learning_rate_role": get_args(LearningRateRole),
    "weight_decay": get_args(WeightDecayKind),
}
_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class OptimizerFacts:
    """Facts about an optimizer.

    Args:
        title: Display name.
        learning_rate_role: What its learning rate is.
        weight_decay_kind: Kind of its weight decay; None if unknown.
    """

    title: str
    learning_rate_role: LearningRateRole
    weight_decay_kind: WeightDecayKind | None


def facts_of_optimizer(section: OptimizerSpec, files: Mapping[str, str]) -> OptimizerFacts:
    """The facts about an optimizer of a specification.

    Args:
        section: Its section.
        files: Sources of the specification.
    """
    name = optimizers.code_name(section.name)
    declared = _declared(files[name.file], name.attribute) if name and name.file in files else {}
    role = optimizers.facts(section.name).get("learning_rate_role", "step_size")
    return OptimizerFacts(
        title=declared.get("title", optimizers.title(section.name)),
        learning_rate_role=declared.get("learning_rate_role", role),
        weight_decay_kind=declared.get("weight_decay", section.weight_decay_kind),
    )


@lru_cache(maxsize=_REMEMBERED)
def _declared(source: str, attribute: str) -> dict[str, Any]:
    """The facts that a source declares."""
    return {name: value for name, (value, _) in declared_texts(source, attribute).items()}


def check_declared_facts(name: CodeName, source: str) -> None:
    """Check the facts that a file declares about one of its optimizers.

    Raises:
        PartError: A fact has a value that is not allowed.
    """
    for fact, (value, line) in declared_texts(source, name.attribute).items():
        if fact == "title" and not re.fullmatch(LABEL_PATTERN, value):
            allowed = PATTERNS[LABEL_PATTERN]
        elif fact in _CHOICES and value not in _CHOICES[fact]:
            allowed = f"must be {' or '.join(map(repr, _CHOICES[fact]))}"
        else:
            continue
        message = f"line {line}: {fact} of {name.attribute} {allowed}"
        raise PartError(("files", name.file), message, value)
