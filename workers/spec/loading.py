"""Reading of specifications: YAML and JSON, validation, errors with their paths."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import yaml
from pydantic import Tag, ValidationError

from workers.characters import escape_controls
from workers.spec.axes import AxisFields, nearest
from workers.spec.fields import STORED, PartError, PartsError, Section
from workers.spec.messages import message_of
from workers.spec.plain import find_flaws
from workers.spec.ranges import Range
from workers.spec.sweep import SweepSpec

__all__ = [
    "SpecError",
    "SpecProblem",
    "load_spec",
    "parse_spec",
    "path_text",
    "read_stored",
    "validate_spec",
]

_MAX_TEXT_CHARACTERS = 200_000
"""Characters; the longest preset has 700, and a page of YAML takes a second from here on."""
_MAX_DEPTH = 50
_MAX_DIGITS = 4_000
"""Digits of a whole number: Python refuses to convert more than 4,300; 16 are allowed."""
_MAX_JSON_CHARACTERS = 100_000
"""Characters of a specification with its defaults, quoted as JSON text: it reaches the driver in an
environment variable, which Linux limits to 128 KiB."""
_MAX_PROBLEMS = 20
_MAX_MESSAGE_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """One problem of a specification.

    Args:
        path: Path of the value, such as ``search.learning_rate[2]``; empty for the whole.
        message: What is wrong and what is allowed.
        value: The value as text, shortened.
    """

    path: str
    message: str
    value: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path or 'specification'}: {self.message} (got {self.value})"

    def as_dict(self) -> dict[str, str]:
        """The problem as plain data."""
        return asdict(self)


class SpecError(ValueError):
    """A specification that cannot be run; ``problems`` has paths and reasons."""

    def __init__(self, problems: list[SpecProblem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2's JSON schema; no repeated keys, aliases or tags.

    ``1e-4`` is a float; ``on``, ``010`` and ``2026-11-25`` are text, not true, eight and a date.
    Aliases are refused because a few of them can describe a huge structure, and tags because they
    create values that no section accepts, such as bytes and sets.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own interface

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML has no types
        problem = "aliases are not allowed" if isinstance(event, yaml.AliasEvent) else ""
        if getattr(event, "tag", None) is not None:
            tag = _cut(event.tag.replace("tag:yaml.org,2002:", "!!"))
            problem = f"tags such as {tag} are not allowed; write text in quotes"
        if self._depth == _MAX_DEPTH:
            problem = f"more than {_MAX_DEPTH} levels"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key must be text"
            elif key.value in seen:
                problem = f"the key {_cut(repr(key.value))} stands twice"
            else:
                seen.add(key.value)
                continue
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number; one too long to convert is refused with its position."""
        try:
            return _integer(node.value)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, str(error), node.start_mark
            ) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)

for _tag, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)|[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)"
        r"|[-+]?\.inf|\.nan",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def load_spec(text: str) -> SweepSpec:
    """Read a specification from YAML or JSON.

    Raises:
        SpecError: The text is neither, or the specification is invalid.
    """
    return validate_spec(parse_spec(text))


def parse_spec(text: str) -> Any:
    """Read YAML or JSON as plain data.

    Raises:
        SpecError: The text is neither.
    """
    if len(text) > _MAX_TEXT_CHARACTERS:
        message = f"must have at most {_MAX_TEXT_CHARACTERS:,} characters"
        raise SpecError([SpecProblem("", message, f"{len(text):,}")])
    try:
        if text.lstrip().startswith("{"):
            return _parse_json(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except RecursionError:
        raise SpecError([SpecProblem("", "is nested too deeply", _shorten(text))]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        lines = text.splitlines()
        got = lines[mark.line] if mark and mark.line < len(lines) else text
        message = f"{place}neither YAML nor JSON: {what}"
        raise SpecError([SpecProblem("", message, _shorten(got))]) from None


def _parse_json(text: str) -> Any:
    """Read JSON; text that only looks like JSON may be YAML."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeated_keys, parse_int=_integer)
    except json.JSONDecodeError:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; by default the last of repeated keys would win silently."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        (repeated, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {_cut(repr(repeated))} stands twice")
    return mapping


def _integer(text: str) -> int:
    """Parse a whole number.

    Raises:
        ValueError: It has too many digits.
    """
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text):,} digits; at most 16 are allowed")
    return int(text)


def validate_spec(data: Any) -> SweepSpec:
    """Check plain data against the specification.

    Raises:
        SpecError: The data are invalid; one problem per error, each with its path.
    """
    if not isinstance(data, dict):
        message = "must be a mapping of sections such as dataset, model and optimizers"
        raise SpecError([SpecProblem("", message, _shorten(data))])
    flaws = list(find_flaws(data))
    problems = [SpecProblem(path_text(f.location), f.message, _shorten(f.value)) for f in flaws]
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
        message = (
            f"must have at most {_MAX_JSON_CHARACTERS:,} characters as JSON; write values as "
            "ranges of a search, or submit several sweeps"
        )
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
    return _cut(path)


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
    got = "nothing" if is_missing else _shorten(value)
    message = escape_controls(str(cause) if isinstance(cause, PartError) else _message(detail))
    return SpecProblem(_cut(path), _cut(message, _MAX_MESSAGE_CHARACTERS), got)


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
    name = part if part.isprintable() else _cut(escape_controls(repr(part)))
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


def _shorten(value: Any) -> str:
    """A value as short text without control characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        text = f"a value of type {type(value).__name__}"
    return _cut(escape_controls(text))


def _cut(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
