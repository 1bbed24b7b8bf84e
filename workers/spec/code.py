"""A user's own code in a specification: the names that it has, and the files that they need.

The sources travel in the section ``files``, so that they are stored, cloned and restored with the
specification and reach every node with it. A trial gets the files that its own code needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field, StringConstraints

from workers.catalog import Catalog, datasets, models, optimizers
from workers.characters import find_control
from workers.own_code.errors import SourceError
from workers.own_code.names import FILE_PATTERN, CodeName
from workers.own_code.sources import needed_files, read_outline, require_attribute
from workers.spec.errors import SpecError, SpecProblem
from workers.spec.fields import PartError
from workers.spec.parsing import parse_spec

__all__ = [
    "Location",
    "Sources",
    "check_code",
    "code_names",
    "describe_location",
    "files_of",
    "with_files",
]

Location = tuple[int | str, ...]

_MAX_FILES = 20
_MAX_SOURCE_CHARACTERS = 50_000


def _require_plain_source(source: str) -> str:
    """Refuse control characters other than tabs and line breaks: some hide code from readers."""
    text = source.replace("\r\n", "\n").replace("\t", " ")
    if find_control(text.replace("\n", " ")) is None:
        return source
    numbered = ((number, find_control(line)) for number, line in enumerate(text.split("\n"), 1))
    number, control = next((number, found) for number, found in numbered if found)
    raise ValueError(f"line {number}: must be text without control characters such as {control}")


_FileName = Annotated[str, StringConstraints(pattern=f"^{FILE_PATTERN}$")]
_Source = Annotated[
    str,
    StringConstraints(max_length=_MAX_SOURCE_CHARACTERS),
    AfterValidator(_require_plain_source),
]
Sources = Annotated[dict[_FileName, _Source], Field(max_length=_MAX_FILES)]
"""Sources of Python files by name."""


class _Named(Protocol):
    """A section with a name of a catalog."""

    @property
    def name(self) -> str: ...


class _Specification(Protocol):
    """The sections of a specification that can name code."""

    @property
    def dataset(self) -> _Named: ...
    @property
    def model(self) -> _Named: ...
    @property
    def optimizers(self) -> Sequence[_Named]: ...


def code_names(
    specification: _Specification, optimizer: _Named | None = None
) -> dict[Location, CodeName]:
    """The names of the user's own code in a specification, by their locations.

    Args:
        specification: The specification.
        optimizer: Only this one of its optimizers; by default all of them.
    """
    found: dict[Location, CodeName] = {}

    def add(catalog: Catalog, section: _Named, *location: int | str) -> None:
        name = catalog.code_name(section.name)
        if name is not None:
            found[*location, "name"] = name

    add(datasets, specification.dataset, "dataset")
    add(models, specification.model, "model")
    for position, section in enumerate(specification.optimizers):
        if optimizer is None or section is optimizer:
            add(optimizers, section, "optimizers", position)
            base: _Named | None = getattr(section, "base", None)
            if base is not None:
                add(optimizers, base, "optimizers", position, "base")
    return found


def describe_location(location: Location) -> str:
    """A location as a path, such as ``optimizers[0].name``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def files_of(names: Iterable[CodeName], files: Mapping[str, str]) -> dict[str, str]:
    """The files that names need, directly or through relative imports."""
    needed: dict[str, str] = {}
    for name in names:
        if name.file:
            needed |= needed_files(name.file, files)
    return needed


def check_code(names: Mapping[Location, CodeName], files: Mapping[str, str]) -> None:
    """Check that every name is defined by a file, and every file is needed by a name.

    Raises:
        PartError: A source is not Python, a file is missing or superfluous, or defines no such
            name.
    """
    for file, source in files.items():
        _check_imports(file, source, files)
    for location, name in names.items():
        if name.file and name.file not in files:
            message = (
                f"needs {name.file} in files; `sasam submit` and the client send it from the "
                "folder of the specification"
            )
            raise PartError(location, message, str(name))
        if name.file:
            try:
                require_attribute(files[name.file], name.attribute)
            except SourceError as error:
                raise PartError(location, f"{name.file} {error}", str(name)) from None
    needed = files_of(names.values(), files)
    for file, source in files.items():
        if file not in needed:
            message = "is not needed: no optimizer, model or data set is named after it"
            raise PartError(("files", file), message, source)


def _check_imports(file: str, source: str, files: Mapping[str, str]) -> None:
    """Check that a source is Python and that the files that it imports are there.

    Raises:
        PartError: It is not, or one of them is missing.
    """
    try:
        imports = read_outline(source).imports
    except SourceError as error:
        raise PartError(("files", file), str(error), error.line) from None
    for imported, line in imports:
        if imported not in files:
            message = f"line {line}: imports {imported}, which is not in files"
            raise PartError(("files", file), message, source.splitlines()[line - 1])


def with_files(text: str, folder: Path) -> str:
    """Add the files that a specification names to it.

    Args:
        text: A specification as YAML or JSON; one that cannot be read is left as it is, because
            its reader reports its problems.
        folder: Folder of the files.

    Returns:
        The specification as JSON; the text itself if it names no file.

    Raises:
        SpecError: A file cannot be read, or is not Python.
    """
    if ".py:" not in text:
        return text
    try:
        data = parse_spec(text)
    except SpecError:
        return text
    if not isinstance(data, dict) or not isinstance(data.get("files", {}), dict):
        return text
    files = dict(data.get("files", {}))
    for path, name in _written_names(data):
        _add_file(files, name.file, folder, path, str(name))
    return text if files == data.get("files", {}) else json.dumps(data | {"files": files})


def _add_file(files: dict[str, str], file: str, folder: Path, path: str, value: str) -> None:
    """Read a file and those that it imports into ``files``, unless they are there.

    Raises:
        SpecError: One of them cannot be read, or is not Python.
    """
    if file in files:
        return
    try:
        files[file] = (folder / file).read_text(encoding="utf-8-sig")
        imports = read_outline(files[file]).imports
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"needs the file {folder / file}: {reason}"
        raise SpecError([SpecProblem(path, message, value)]) from None
    except UnicodeDecodeError:
        message = f"needs the file {folder / file}, which is not text in UTF-8"
        raise SpecError([SpecProblem(path, message, value)]) from None
    except SourceError as error:
        raise SpecError([SpecProblem(f"files.{file}", str(error), error.line)]) from None
    for imported, line in imports:
        _add_file(files, imported, folder, f"files.{file}", f"line {line}")


def _written_names(data: Mapping[str, Any]) -> Iterator[tuple[str, CodeName]]:
    """The names of files in plain data, with their paths."""
    entries = data.get("optimizers")
    sections = [(datasets, "dataset", data.get("dataset")), (models, "model", data.get("model"))]
    for position, entry in enumerate(entries if isinstance(entries, list) else []):
        path = f"optimizers[{position}]"
        base = entry.get("base") if isinstance(entry, dict) else None
        sections += [(optimizers, path, entry), (optimizers, f"{path}.base", base)]
    for catalog, path, section in sections:
        written = section.get("name") if isinstance(section, dict) else section
        name = catalog.code_name(written) if isinstance(written, str) else None
        if name is not None and name.file:
            yield path, name
