"""The shape of the package: who may import whom, what is imported only when used, and how large things may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gradcheck

# A room imports only rooms before it.
ORDER = (
    "errors", "extras", "domain", "rule", "tree", "layouts", "adapters", "strategies", "oracles", "laws", "verdict",
    "mistakes", "report", "memory", "observing", "checks", "verification", "mutation", "derivations", "catalogue",
    "mnist", "targets", "commands", "cli", "plugin", "pytest_plugin",
)  # fmt: skip
ALONE = {"derivations"}  # a customer of the checker that the checker must owe nothing to
DOORS = {"__init__", "__main__"}  # the public face fetches from every room
HEAVY = {"hypothesis", "jax", "jinja2", "matplotlib", "ml_dtypes", "pooch", "pytest", "rich", "torch"}
ABOUT = {"strategies": {"hypothesis", "ml_dtypes"}, "pytest_plugin": {"pytest"}, "plugin": {"pytest"}}

LINES = 350
CODE_LINES = 45


def _room(module: str) -> str:
    return module.split(".")[1]


def _modules(root: Path) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield the name, text and syntax tree of every module of a package."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        text = path.read_text(encoding="utf-8")
        yield ".".join(parts), text, ast.parse(text)


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _nodes(tree: ast.AST, *, inside_functions: bool) -> Iterator[ast.AST]:
    """Walk a tree past what only type checkers run, and past functions too where asked."""
    for node in ast.iter_child_nodes(tree):
        if _only_for_types(node):
            continue
        yield node
        if inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _nodes(node, inside_functions=inside_functions)


def _imported(tree: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    for node in _nodes(tree, inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward_imports(root: Path) -> list[str]:
    """Imports of a room that does not stand before the one that imports it."""
    return [
        f"{module} imports {name}"
        for module, _, tree in _modules(root)
        for name in _imported(tree, inside_functions=True)
        if name.startswith("gradcheck.") and _room(name) not in _allowed(_room(module))
    ]


def _allowed(room: str) -> set[str]:
    if room in DOORS:
        return set(ORDER)
    return {room, "__version__"} | (set() if room in ALONE else set(ORDER[: ORDER.index(room)]))


def heavy_imports(root: Path) -> list[str]:
    """Imports of a heavy package when a module is imported, where its room is not about that package."""
    return [
        f"{module} imports {name}"
        for module, _, tree in _modules(root)
        for name in _imported(tree, inside_functions=False)
        if name.split(".")[0] in HEAVY - ABOUT.get(_room(module), set())
    ]


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Lines of a function that hold code: not its docstring, not comments, not blank."""
    documented = ast.get_docstring(function) is not None
    docstring = range(function.body[0].lineno, (function.body[0].end_lineno or 0) + 1) if documented else ()
    numbered = enumerate(lines[function.lineno - 1 : function.end_lineno], start=function.lineno)
    return sum(
        number not in docstring and line.strip() != "" and not line.lstrip().startswith("#")
        for number, line in numbered
    )


def oversized(root: Path) -> list[str]:
    """Modules and functions that have outgrown what one reads at once."""
    found = []
    for module, text, tree in _modules(root):
        lines = text.splitlines()
        if len(lines) > LINES:
            found.append(f"{module} has {len(lines)} lines")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = _code_lines(node, lines)
                if length > CODE_LINES:
                    found.append(f"{module}.{node.name} has {length} lines of code")
    return found


PACKAGE = Path(gradcheck.__file__).parent


def test_rooms_import_only_rooms_before_them() -> None:
    assert upward_imports(PACKAGE) == []


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    assert heavy_imports(PACKAGE) == []


def test_modules_and_functions_are_small() -> None:
    assert oversized(PACKAGE) == []


def test_every_room_has_its_place() -> None:
    rooms = {_room(module) for module, _, _ in _modules(PACKAGE)}
    assert rooms - DOORS == set(ORDER)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("rule", "import gradcheck.tree", "gradcheck.rule imports gradcheck.tree"),
        ("rule", "from gradcheck import tree", "gradcheck.rule imports gradcheck.tree"),
        ("oracles/differences/ladder", "def f():\n    from gradcheck.derivations import mlp",
         "gradcheck.oracles.differences.ladder imports gradcheck.derivations.mlp"),
        ("derivations/mlp", "import gradcheck.errors", "gradcheck.derivations.mlp imports gradcheck.errors"),
    ],
)  # fmt: skip
def test_an_upward_import_is_found(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    assert upward_imports(_package(tmp_path, module, source)) == [complaint]


@pytest.mark.parametrize("source", ["import jax.numpy as jnp", "class A:\n    from jax import numpy"])
def test_a_heavy_import_is_found(tmp_path: Path, source: str) -> None:
    assert len(heavy_imports(_package(tmp_path, "oracles/autodiff", source))) == 1
    assert heavy_imports(_package(tmp_path, "oracles/autodiff", "def f():\n    import jax")) == []


def test_types_may_be_imported_from_anywhere(tmp_path: Path) -> None:
    root = _package(tmp_path, "rule", "if TYPE_CHECKING:\n    import jax\n    from gradcheck.report import Report")
    assert upward_imports(root) == heavy_imports(root) == []


def test_large_ones_are_found(tmp_path: Path) -> None:
    function = 'def f():\n    """Say.\n\n\n    """\n    # why\n' + "    x = 1\n" * (CODE_LINES - 1)
    assert oversized(_package(tmp_path, "rule", function)) == []
    assert oversized(_package(tmp_path, "rule", function + "    y = 2\n")) == ["gradcheck.rule.f has 46 lines of code"]
    assert oversized(_package(tmp_path, "rule", "\n" * (LINES + 1))) == ["gradcheck.rule has 351 lines"]


def _package(folder: Path, module: str, source: str) -> Path:
    path = folder / "gradcheck" / f"{module}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return folder / "gradcheck"
