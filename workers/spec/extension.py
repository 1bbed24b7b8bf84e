"""Extension of a sweep: a specification with the same trials as before and more.

    seeds        more of them
    optimizers   more of them, with any options and axes
    search       more values of an axis of a grid; more trials of a random or TPE search

Everything else that a trial depends on, or that compares trials, stays: so no result, no key and no
decision of early stopping of the sweep changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workers.spec.axes import plain_axis
from workers.spec.configuration import Value, thaw_value
from workers.spec.errors import SpecError, SpecProblem, shorten
from workers.spec.loading import path_text
from workers.spec.ranges import Range
from workers.spec.search import GridSearch
from workers.spec.sweep import SweepSpec

__all__ = ["require_extension"]

_MAY_CHANGE = frozenset(
    {"optimizers", "search", "seeds", "files", "limits", "resources", "reuse", "score"}
)
"""Sections that may differ; those of them on which trials depend have rules of their own."""
_GROWING = frozenset({"learning_rate", "weight_decay", "trials"})
"""Fields of a search with rules of their own."""
_ABSENT = object()


def require_extension(before: SweepSpec, after: SweepSpec) -> None:
    """Check that a specification has every trial of another one, unchanged, and more.

    Args:
        before: The specification of the sweep so far.
        after: The specification to extend it to.

    Raises:
        SpecError: A trial of the sweep would change or be missing, or there is no new trial.
    """
    if before.search.type != after.search.type:
        raise SpecError([_must_stay("search.type", before.search.type, after.search.type)])
    problems = [
        *_sections(before, after),
        *_optimizers(before, after),
        *_search(before, after),
        *_missing(("seeds",), before.seeds, after.seeds),
        *_files(before, after),
    ]
    if not problems and (lost := _lost_trials(before, after)):
        message = f"must keep the trials of the sweep; {lost} of them would change or be missing"
        problems.append(SpecProblem("search", message, str(after.trial_count)))
    if not problems and after.trial_count <= before.trial_count:
        message = f"must lead to more trials than the {before.trial_count} of the sweep"
        problems.append(SpecProblem("", message, str(after.trial_count)))
    if problems:
        raise SpecError(problems)


def _sections(before: SweepSpec, after: SweepSpec) -> Iterator[SpecProblem]:
    """Settings of the whole sweep that differ."""
    if before.scored_by is not after.scored_by:
        yield _must_stay("score", before.scored_by.name, after.scored_by.name)
    yield from _differences(
        before.model_dump(mode="json", exclude=set(_MAY_CHANGE)),
        after.model_dump(mode="json", exclude=set(_MAY_CHANGE)),
    )


def _optimizers(before: SweepSpec, after: SweepSpec) -> Iterator[SpecProblem]:
    """Optimizers of the sweep that are missing or have other options or axes."""
    yield from _missing(("optimizers",), before.labels, after.labels)
    for label in before.labels:
        if label not in after.labels:
            continue
        at = after.labels.index(label)
        one, other = (
            spec.optimizers[spec.labels.index(label)].model_dump(mode="json", exclude={"search"})
            for spec in (before, after)
        )
        yield from _differences(one, other, f"optimizers[{at}]")
        yield from _axes(before, after, label)


def _axes(before: SweepSpec, after: SweepSpec, label: str) -> Iterator[SpecProblem]:
    """Axes of an optimizer that are missing, new or lack a value, and settings fixed otherwise."""
    old, new = before.space(label), after.space(label)
    if list(old.axes) != list(new.axes):
        message = f"must keep the axes of {label} and their order: {', '.join(old.axes)}"
        yield SpecProblem("search", message, ", ".join(new.axes))
        return
    is_grid = isinstance(before.search, GridSearch)
    for name, axis in old.axes.items():
        if is_grid:
            yield from _missing(new.places[name], axis, new.axes[name])
        elif axis != new.axes[name]:
            place = path_text(new.places[name])
            yield _must_stay(place, plain_axis(axis), plain_axis(new.axes[name]))
    for name in old.fixed.keys() | new.fixed.keys():
        one, other = old.fixed.get(name, _ABSENT), new.fixed.get(name, _ABSENT)
        if one != other:
            yield _must_stay(path_text(new.places.get(name, ("search", name))), one, other)


def _search(before: SweepSpec, after: SweepSpec) -> Iterator[SpecProblem]:
    """Fields of the search, apart from its axes, that differ; its trials may grow."""
    names = set(type(before.search).model_fields) - _GROWING
    old, new = (spec.search.model_dump(mode="json", include=names) for spec in (before, after))
    yield from _differences(old, new, path="search")
    fewest, trials = (getattr(spec.search, "trials", 0) for spec in (before, after))
    if trials < fewest:
        message = f"must be at least {fewest}, as in the sweep"
        yield SpecProblem("search.trials", message, str(trials))


def _files(before: SweepSpec, after: SweepSpec) -> Iterator[SpecProblem]:
    """Files of the user's own code that differ."""
    for name, source in before.files.items():
        if after.files.get(name) != source:
            message = "must stay as it is in the sweep: its trials have run this code"
            value = "other text" if name in after.files else "no such file"
            yield SpecProblem(f"files[{name!r}]", message, value)


def _lost_trials(before: SweepSpec, after: SweepSpec) -> int:
    """Number of the planned trials of the sweep that the extension does not have."""
    kept = {(trial.key, trial.optimizer_label) for trial in after.trials}
    return sum((trial.key, trial.optimizer_label) not in kept for trial in before.trials)


def _differences(old: Any, new: Any, path: str = "") -> Iterator[SpecProblem]:
    """One problem per value that differs between two plain data."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            place = f"{path}.{name}" if path else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), place)
    elif old != new:
        yield _must_stay(path, old, new)


def _must_stay(path: str, old: object, new: object) -> SpecProblem:
    """The problem of a value that an extension must not change."""
    was = "absent" if old is _ABSENT else shorten(old)
    message = f"must stay {was}: an extension leaves the trials of the sweep as they are"
    return SpecProblem(path, message, "absent" if new is _ABSENT else shorten(new))


def _missing(
    place: Sequence[int | str], old: Range | tuple[Value, ...], new: Range | tuple[Value, ...]
) -> Iterator[SpecProblem]:
    """The problem of a list that lacks values of the sweep."""
    if isinstance(old, Range) or isinstance(new, Range):  # a range of whole numbers, in a grid
        if old != new:
            yield _must_stay(path_text(place), plain_axis(old), plain_axis(new))
    elif lost := [thaw_value(value) for value in old if value not in new]:
        message = f"must keep {', '.join(map(shorten, lost))} of the sweep"
        yield SpecProblem(path_text(place), message, shorten([thaw_value(value) for value in new]))
