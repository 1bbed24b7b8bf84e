"""Specification of the configurations that a certificate of local optimality lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from service.sensitivity import NotAvailableError, OptimizerSummary, SweepSummary
from workers.spec import SpecError, SweepSpec, load_spec
from workers.spec.writing import yaml_text

__all__ = ["next_cells_specification"]

_OF_OPTIMIZER = ("learning_rate", "weight_decay")
_SECTIONS = ("optimizer.", "training.")
_LABEL_CHARACTERS = re.compile(r"[^A-Za-z0-9 ._+-]")
_MAX_LABEL = 63


def next_cells_specification(specification: SweepSpec, summary: SweepSummary) -> str:
    """YAML of a sweep over the neighbours of the best configurations that were not measured.

    Each entry of its optimizers varies one hyperparameter and fixes the others at their best
    values. Everything else is as in the sweep, without early stopping. Values that no specification
    may have, such as a momentum above 1, are left out, and a comment says so.

    Args:
        specification: Of the sweep.
        summary: Of the sweep.

    Raises:
        NotAvailableError: There is nothing to run, or only as several sweeps.
    """
    base = specification.model_dump(mode="json")
    base["early_stopping"] = None
    sections = dict(zip(specification.labels, base["optimizers"], strict=True))
    own = {name for label in specification.labels for name in specification.axes(label)}
    base["search"] = {name: value for name, value in base["search"].items() if name not in own}
    entries, notes = [], []
    for optimizer in summary.optimizers:
        for entry in _entries(optimizer, sections[optimizer.optimizer]):
            flaw = _flaw({**base, "optimizers": [entry]})
            if flaw is None:
                entries.append(entry)
            else:
                notes.append(f"Left out {entry['label']}: {flaw}")
    if not entries:
        raise NotAvailableError(
            "no_next_cells",
            " ".join(notes)
            or "Every neighbour of every selected configuration was measured, or the search is not"
            " a grid.",
        )
    comments = [
        "Single-axis neighbours of the best configurations that were not measured.",
        *notes,
    ]
    return yaml_text({**base, "optimizers": entries}, *comments)


def _entries(optimizer: OptimizerSummary, section: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One variant of the optimizer for each hyperparameter with open neighbours."""
    found = optimizer.published.local_optimality
    best = optimizer.best_config.hyperparameters
    values: dict[str, list[Any]] = {}
    for cell in found.next_cells if found else ():
        for name, value in cell.items():
            if value != best[name]:
                values.setdefault(name, []).append(value)
    for name, tried in values.items():
        search = {_key(other): tried if other == name else [value] for other, value in best.items()}
        label = f"{optimizer.optimizer} next {_key(name)}"
        yield {
            **section,
            "label": _LABEL_CHARACTERS.sub("-", label).lstrip(" ._+-")[-_MAX_LABEL:],
            "search": search,
        }


def _key(name: str) -> str:
    """Name of an axis within the search of one optimizer.

    Raises:
        NotAvailableError: Only the whole sweep can have this axis.
    """
    if name not in _OF_OPTIMIZER and not name.startswith(_SECTIONS):
        raise NotAvailableError(
            "needs_several_sweeps",
            f"{name} holds for a whole sweep: submit one for each of the next cells that the"
            " summary lists.",
        )
    return name.removeprefix("optimizer.")


def _flaw(data: Mapping[str, Any]) -> str | None:
    """Why a specification would be refused; None if it is valid."""
    try:
        load_spec(yaml_text(data))
    except SpecError as error:
        return str(error)
    return None
