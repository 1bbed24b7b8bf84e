"""The best configuration of an optimizer, as a specification to run and as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.sensitivity import SweepSummary
from workers.hyperparameter_text import axis_titles, value_text
from workers.optimizer_code import optimizer_code
from workers.spec import SweepSpec
from workers.spec.configuration import freeze_value
from workers.spec.narrowing import narrowed
from workers.spec.writing import yaml_text

__all__ = ["BEST_FORMATS", "best_configuration_text"]


def best_configuration_text(
    specification: SweepSpec, summary: SweepSummary, file_format: str
) -> str:
    """The configuration with the best validation score as text.

    Args:
        specification: Of the sweep.
        summary: Of the sweep, or of some of its optimizers.
        file_format: "yaml" for a specification whose only trial has this configuration and the
            sweep's first seed; "python" for code that builds the optimizer.
    """
    score = specification.scored_by
    optimizer = max(summary.optimizers, key=lambda one: score.sign * one.best_config.val_score)
    chosen = optimizer.best_config.hyperparameters
    values = ", ".join(
        f"{title} {value_text(freeze_value(chosen[name]))}"
        for name, title in axis_titles(chosen, short=True).items()
    )
    head = (
        f"Best configuration of {optimizer.optimizer} in the sweep {specification.name}, by "
        f"validation {score.name}: {values}"
    )
    return _WRITERS[file_format](specification, optimizer.optimizer, chosen, head)


def _yaml(specification: SweepSpec, label: str, values: Mapping[str, object], head: str) -> str:
    plain = narrowed(specification, label, values, specification.seeds[:1])
    return yaml_text(plain, head)


def _python(specification: SweepSpec, label: str, values: Mapping[str, object], head: str) -> str:
    frozen = {name: freeze_value(value) for name, value in values.items()}
    trial = specification.trial(label, frozen, specification.seeds[0])
    return f"# {head}\n{optimizer_code(trial)}"


_WRITERS: dict[str, Callable[[SweepSpec, str, Mapping[str, object], str], str]] = {
    "yaml": _yaml,
    "python": _python,
}
BEST_FORMATS = {"yaml": "application/yaml", "python": "text/x-python"}
"""Formats and their media types."""
