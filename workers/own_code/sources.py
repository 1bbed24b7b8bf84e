"""Sources of a user's own files: what they define and import, read without running them."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from workers.own_code.errors import SourceError

__all__ = [
    "Outline",
    "declared_texts",
    "digest",
    "needed_files",
    "read_outline",
    "require_attribute",
]

_DIGEST_CHARACTERS = 16
_REMEMBERED_SOURCES = 256


@dataclass(frozen=True, slots=True)
class Outline:
    """What a source defines and imports.

    Args:
        names: Names that its top level defines.
        is_complete: Whether there are no others: no ``import *``, no ``__getattr__``.
        imports: Files that it imports relatively, with the line of the import.
    """

    names: frozenset[str]
    is_complete: bool
    imports: tuple[tuple[str, int], ...]


def digest(source: str) -> str:
    """The first 64 bits of the SHA-256 of a text, in hex."""
    return hashlib.sha256(source.encode()).hexdigest()[:_DIGEST_CHARACTERS]


@lru_cache(maxsize=_REMEMBERED_SOURCES)
def read_outline(source: str) -> Outline:
    """Parse a source.

    Raises:
        SourceError: It is not Python, or imports files from other folders.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise SourceError(f"line {error.lineno}: is not Python: {error.msg}", line) from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise SourceError(f"is not Python: {error or 'nested too deeply'}") from None
    names = frozenset(_defined(tree.body))
    return Outline(names - {"*"}, not names & {"*", "__getattr__"}, tuple(_imports(tree)))


def needed_files(file: str, files: Mapping[str, str]) -> dict[str, str]:
    """A file with those that it imports, directly or through others, by name.

    Files that are missing are left out.

    Raises:
        SourceError: A source is not Python, or imports files from other folders.
    """
    needed: dict[str, str] = {}
    rest = [file]
    while rest:
        name = rest.pop()
        if name in files and name not in needed:
            needed[name] = files[name]
            rest += [imported for imported, _ in read_outline(files[name]).imports]
    return needed


def require_attribute(source: str, attribute: str) -> None:
    """Check that the top level of a source defines a name.

    Raises:
        SourceError: It does not; the message has the names that it defines, the nearest first.
    """
    outline = read_outline(source)
    if attribute in outline.names or not outline.is_complete:
        return
    public = sorted(name for name in outline.names if not name.startswith("_"))
    near = difflib.get_close_matches(attribute, public, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise SourceError(
        f"defines no {attribute}{guess} (defined: {', '.join(public[:20]) or 'none'})"
    )


def declared_texts(source: str, attribute: str) -> dict[str, tuple[str, int]]:
    """Texts that a class has as attributes, or that are set on a class or function.

        class MyOpt(torch.optim.Optimizer):         def my_opt(model, lr): ...
            title = "My optimizer"                  my_opt.title = "My optimizer"

    Args:
        source: A source that is Python.
        attribute: Name of the class or function at its top level.

    Returns:
        Text and line of each by name; values that are no literal text are left out.
    """
    found: dict[str, tuple[str, int]] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ClassDef) and statement.name == attribute:
            for inner in statement.body:
                found |= _texts(inner, _name_of)
        found |= _texts(statement, lambda target: _attribute_of(target, attribute))
    return found


def _texts(
    statement: ast.stmt, name_of: Callable[[ast.expr], str | None]
) -> dict[str, tuple[str, int]]:
    """The literal text that a statement assigns, by the names of its targets."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return {}
    names = [name for target in targets if (name := name_of(target)) is not None]
    value = statement.value
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return {}
    return dict.fromkeys(names, (value.value, statement.lineno))


def _name_of(target: ast.expr) -> str | None:
    """The name that a target assigns; None if it assigns no name."""
    return target.id if isinstance(target, ast.Name) else None


def _attribute_of(target: ast.expr, owner: str) -> str | None:
    """The attribute of ``owner`` that a target assigns; None if it assigns another one."""
    is_owned = isinstance(target, ast.Attribute) and _name_of(target.value) == owner
    return target.attr if is_owned and isinstance(target, ast.Attribute) else None


def _defined(statements: list[ast.stmt]) -> Iterator[str]:
    """Names that statements define, also in the branches of ``if``, ``try``, ``with`` and loops."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        for node in ast.iter_child_nodes(statement):
            if isinstance(node, ast.expr | ast.withitem):
                yield from _assigned(node)
        for block in ("body", "orelse", "finalbody"):
            yield from _defined(getattr(statement, block, []))
        for handler in getattr(statement, "handlers", []):
            yield from _defined(handler.body)


def _assigned(expression: ast.AST) -> Iterator[str]:
    """Names that an expression, or an item of ``with``, stores to."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Files that relative imports name, also those inside functions."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        modules = [node.module] if node.module else [alias.name for alias in node.names]
        for module in modules:
            if node.level > 1 or "." in module or module == "*":
                raise SourceError(
                    f"line {node.lineno}: must import another file as .NAME: files have no folders",
                    ast.unparse(node),
                )
            yield f"{module}.py", node.lineno
