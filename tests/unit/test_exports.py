"""Public names: what a module defines without an underscore is in its ``__all__``, and exists."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("sasam", "workers", "service", "study")
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts and (path.name == "__init__.py" or path.name[0] != "_")
)


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))
    return None


def _bound(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            targets = [name for target in node.targets for name in ast.walk(target)]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def _defined(tree: ast.Module) -> set[str]:
    """Public functions and classes that the module itself defines."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not _is_command(node)
    }


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Endpoints and commands are registered by their decorator; nobody imports them."""
    return any(isinstance(decorator, ast.Call) for decorator in node.decorator_list)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_exports_match_what_the_module_holds(module: Path) -> None:
    tree = ast.parse((ROOT / module).read_text())
    exported = _exported(tree)
    if exported is None:
        assert not _defined(tree), f"{module} has public names and no __all__"
        return
    assert sorted(set(exported)) == sorted(exported), "a name stands twice"
    lazy = "__getattr__" in _bound(tree)
    missing = set(exported) - _bound(tree)
    assert lazy or not missing, f"__all__ names what is not there: {missing}"
    assert not _defined(tree) - set(exported), "public, but not in __all__"
