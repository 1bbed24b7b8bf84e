"""Import of a user's own code in drivers and trials.

The files that one name needs become a package whose name has the digest of their content, imported
from memory: relative imports between them work, two versions of a file never mix in one process,
and nothing is written to a folder that others could change or that a killed process would leave.
Tracebacks and ``inspect.getsource`` read the lines from the loader.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

import torch

from workers.own_code.errors import CodeError
from workers.own_code.names import CodeName
from workers.own_code.sources import digest, needed_files

__all__ = ["load_code", "raised_in"]

_PACKAGE = "sasam_files_"


def load_code(name: CodeName, files: Mapping[str, str]) -> Any:
    """Import the object of a name.

    An import draws from torch's generator as if it had been seeded with 0, and leaves the generator
    as it was: the weights of a trial do not depend on whether it is the first of its process.

    Args:
        name: The name.
        files: Sources by file name; those that the name does not need are ignored.

    Raises:
        CodeError: The import fails, or defines no such name.
    """
    if not name.file:
        module_name = name.module
    elif name.file not in files:
        raise CodeError(f"{name.file} is not among the files of the specification")
    else:
        module_name = f"{_finder.add(needed_files(name.file, files))}.{name.file[:-3]}"
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise CodeError(f"cannot be imported: {raised_in(error)}{_hint(error, name)}") from error
    try:
        return getattr(module, name.attribute)
    except AttributeError:
        raise CodeError(f"{name.file or name.module} defines no {name.attribute}") from None


def raised_in(error: BaseException) -> str:
    """An exception in one line, with the innermost line of the user's files that raised it."""
    lines = traceback.format_exception_only(error)[-1].split()
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)
    ]
    place = ""
    if frames:
        place = f"{frames[-1].filename.partition('/')[2]}, line {frames[-1].lineno}: "
    elif isinstance(error, SyntaxError) and _is_users(error.filename or ""):
        place = f"{str(error.filename).partition('/')[2]}, line {error.lineno}: "
    return place + " ".join(lines)


def _is_users(filename: str) -> bool:
    """Whether a frame's file is one of a user's files."""
    return filename.startswith(_PACKAGE)


def _hint(error: BaseException, name: CodeName) -> str:
    """What to do about a missing module."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    missing = error.name.removeprefix(_PACKAGE).rpartition(".")[2]
    install = f"install it on the nodes, or import another file of yours as .{missing}"
    return f"; {install if name.file else 'install it on the nodes'}"


class _Finder(MetaPathFinder):
    """Finds the packages of files in memory, by the digest of their content."""

    def __init__(self) -> None:
        self._packages: dict[str, Mapping[str, str]] = {}

    def add(self, files: Mapping[str, str]) -> str:
        """Make files importable; return the name of their package."""
        package = _PACKAGE + digest(json.dumps(files, sort_keys=True))
        self._packages[package] = dict(files)
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        return package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        package, _, module = fullname.partition(".")
        files = self._packages.get(package)
        if files is None or (module and f"{module}.py" not in files):
            return None
        source = files[f"{module}.py"] if module else ""
        file = f"{package}/{module or '__init__'}.py"
        return ModuleSpec(fullname, _Loader(source, file), origin=file, is_package=not module)


class _Loader(InspectLoader):
    """Loads one module from its source."""

    def __init__(self, source: str, file: str) -> None:
        self._source = source
        self._file = file

    def get_source(self, fullname: str) -> str:
        del fullname
        return self._source

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self._source, self._file, "exec", dont_inherit=True)

    def is_package(self, fullname: str) -> bool:
        return "." not in fullname

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._file
        super().exec_module(module)


_finder = _Finder()
