"""Loading of specifications: validation, and errors with their paths."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import Tag, ValidationError

from workers.catalog import datasets
from workers.characters import escape_controls
from workers.scores import SCORES, Score
from workers.spec.axes import AxisFields, nearest
from workers.spec.errors import SpecError, SpecProblem, cut, shorten
from workers.spec.fields import STORED, PartError, PartsError, Section
from workers.spec.messages import message_of
from workers.spec.parsing import parse_spec
from workers.spec.plain import find_flaws
from workers.spec.ranges import Range
from workers.spec.sweep import SweepSpec

__all__ = ["load_spec", "path_text", "read_stored", "stored_score", "validate_spec"]

_MAX_JSON_CHARACTERS = 100_000
"""Characters of a specification with its defaults, quoted as JSON text: it reaches the driver in an
environment variable, which Linux limits to 128 KiB."""
_MAX_PROBLEMS = 20
_MAX_MESSAGE_CHARACTERS = 1_000


def load_spec(text: str) -> SweepSpec:
    """Read a specification from YAML or JSON.

    Raises:
        SpecError: The text is neither, or the specification is invalid.
    """
    return validate_spec(parse_spec(text))


def validate_spec(data: Any) -> SweepSpec:
    """Check plain data against the specification.

    Raises:
        SpecError: The data are invalid; one problem per error, each with its path.
    """
    if not isinstance(data, dict):
        message = "must be a mapping of sections such as dataset, model and optimizers"
        raise SpecError([SpecProblem("", message, shorten(data))])
    flaws = list(find_flaws({name: part for name, part in data.items() if name != "files"}))
    problems = [SpecProblem(path_text(f.location), f.message, shorten(f.value)) for f in flaws]
    if any(not flaw.location for flaw in flaws):
        raise SpecError(_counted(problems))
    try:
        specification = SweepSpec.model_validate(data)
    except ValidationError as error:
        known = tuple(f"{problem.path}{end}" for problem in problems for end in ("$", ".", "["))
        details = _problems(error, data)
        problems += [p for p in _joined(details) if not f"{p.path}$".startswith(known)]
    if problems:
        raise SpecError(_counted(problems))
    _require_size(specification)
    return specification


def stored_score(specification: Mapping[str, Any]) -> Score:
    """What ranks the configurations of a stored specification, without reading all of it.

    Accuracy for one that this release cannot read: its sweep can still be shown.
    """
    dataset = specification.get("dataset", {}).get("name", "")
    return SCORES[specification.get("score") or datasets.default_score(dataset)]


def read_stored(data: dict[str, Any]) -> SweepSpec:
    """Read a specification that this or an earlier release accepted and stored.

    Values outside bounds that were introduced later are kept.

    Raises:
        SpecError: This release cannot read it, such as because its optimizer is not installed.
    """
    try:
        return SweepSpec.model_validate(data, context=STORED)
    except ValidationError as error:
        details = _problems(error, data)
        raise SpecError(_counted(_joined(details))) from error


def _require_size(specification: SweepSpec) -> None:
    """Refuse a specification too large to pass to a driver.

    Raises:
        SpecError: It is too large.
    """
    size = len(json.dumps(specification.model_dump_json()))
    if size > _MAX_JSON_CHARACTERS:
        remedy = (
            "shorten files, or install them on the nodes as a package"
            if specification.files
            else "write values as ranges of a search, or submit several sweeps"
        )
        message = f"must have at most {_MAX_JSON_CHARACTERS:,} characters as JSON; {remedy}"
        raise SpecError([SpecProblem("", message, f"{size:,}")])


def _counted(problems: list[SpecProblem]) -> list[SpecProblem]:
    """The first problems, and the number of further ones."""
    if len(problems) <= _MAX_PROBLEMS:
        return problems
    more = f"has {len(problems) - _MAX_PROBLEMS:,} more problems"
    return [*problems[:_MAX_PROBLEMS], SpecProblem("", more, f"{len(problems):,} in all")]


def path_text(location: Sequence[int | str]) -> str:
    """A location as a path."""
    path = ""
    for part in location:
        path = _join(path, part)
    return cut(path)


def _problems(error: ValidationError, data: Any) -> list[SpecProblem]:
    """The errors of pydantic as paths, messages and values."""
    problems = []
    for details in error.errors(include_url=False):
        detail: dict[str, Any] = dict(details)
        cause = detail.get("ctx", {}).get("error")
        causes = cause.errors if isinstance(cause, PartsError) else [cause]
        problems += [_problem(detail, data, cause) for cause in causes]
    return problems


def _problem(detail: dict[str, Any], data: Any, cause: Exception | None) -> SpecProblem:
    """An error at the location of a detail, or in a part that its cause names."""
    is_missing = detail["type"] == "missing"
    path = _path(detail["loc"], data, is_missing=is_missing)
    for part in getattr(cause, "location", ()):
        path = _join(path, part)
    value = getattr(cause, "value", detail["input"])
    got = "nothing" if is_missing else shorten(value)
    message = escape_controls(str(cause) if isinstance(cause, PartError) else _message(detail))
    return SpecProblem(cut(path), cut(message, _MAX_MESSAGE_CHARACTERS), got)


def _message(detail: dict[str, Any]) -> str:
    """What is wrong and what is allowed."""
    kind, location = detail["type"], detail["loc"]
    if kind == "extra_forbidden":
        return _unknown_key(location)
    message = message_of(detail)
    if kind == "model_type" and "name" in _section((*location, "")).model_fields:
        return f"{message} or a name"
    return message


def _unknown_key(location: tuple[int | str, ...]) -> str:
    """Message with the known keys of a section, and the nearest one."""
    known = list(_section(location).model_fields)
    near = nearest(str(location[-1]), known)
    guess = f"; did you mean {near}?" if near else ""
    return f"unknown key{guess} (known: {', '.join(known)})"


def _section(location: tuple[int | str, ...]) -> type[Section]:
    """The section that contains a location."""
    section: type[Section] = SweepSpec
    choices: dict[str, type[Section]] = {}
    for part in location[:-1]:
        if part in section.model_fields:
            choices = dict(_sections(section.model_fields[str(part)].annotation))
            if len(choices) == 1:
                (section,) = choices.values()
        elif part in choices:
            section = choices[str(part)]
        elif issubclass(section, AxisFields):
            choices = {"range": Range}
    return section


def _sections(annotation: Any, tag: str | None = None) -> Iterator[tuple[str, type[Section]]]:
    """The sections that an annotation allows, by their names in locations."""
    arguments = get_args(annotation)
    tag = next((part.tag for part in arguments if isinstance(part, Tag)), tag)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield tag or annotation.__name__, annotation
    for argument in arguments:
        yield from _sections(argument, tag)


def _path(location: Sequence[int | str], data: Any, *, is_missing: bool) -> str:
    """Path of an error, without pydantic's names of the members of unions."""
    path, value = "", data
    for position, part in enumerate(location):
        is_absent = is_missing and position == len(location) - 1
        if isinstance(part, int) and isinstance(value, list | tuple):
            path, value = _join(path, part), value[part] if part < len(value) else None
        elif isinstance(value, dict) and part != "[key]" and (part in value or is_absent):
            path, value = _join(path, part), value.get(part)
    return path


def _join(path: str, part: int | str) -> str:
    """Append a part to a path."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    name = part if part.isprintable() else cut(escape_controls(repr(part)))
    return f"{path}.{name}" if path else name


def _joined(problems: list[SpecProblem]) -> list[SpecProblem]:
    """Join messages of the members of a union; problems of parts replace those of the whole."""
    joined: dict[tuple[str, str], dict[str, None]] = {}
    for problem in problems:
        joined.setdefault((problem.path, problem.value), {})[problem.message] = None
    wholes = {
        path[:end] for path, _ in joined for end, character in enumerate(path) if character in ".["
    }
    return [
        SpecProblem(path, " or ".join(messages).replace(" or must be ", " or "), value)
        for (path, value), messages in joined.items()
        if path not in wholes
    ]
