"""Which parts of a function make its gradient: neither what refuses bad input nor what only makes the value."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["called", "of_gradient", "of_pullback"]

_DATA = {"dtype", "order", "copy", "casting", "device"}
_INNER = (ast.FunctionDef, ast.Lambda)


def of_gradient(function: ast.FunctionDef | ast.Lambda) -> list[ast.AST]:
    """Give the nodes of a function that may be mutated."""
    return list(_walked(function))


def of_pullback(function: ast.FunctionDef | ast.Lambda) -> list[ast.AST]:
    """Give the nodes of a function that makes its value and a pullback which the pullback depends on.

    Those are the functions inside it, and the statements that lead to the names they read. A function without another
    inside makes its pullback elsewhere, and all of it may lead there.
    """
    inner = [node for node in ast.walk(function) if isinstance(node, _INNER) and node is not function]
    if not inner:
        return of_gradient(function)
    needed = {name for node in inner for name in _read(node)}
    statements = [node for node in _statements(function) if not isinstance(node, _INNER)]
    while more := {n for s in statements if _assigned(s) & needed for n in _read(s)} - needed:
        needed |= more
    kept = [s for s in statements if _assigned(s) & needed]
    outermost = [node for node in inner if not any(node is not other and _holds(other, node) for other in inner)]
    return [node for part in (*kept, *outermost) for node in _walked(part)]


def called(nodes: list[ast.AST]) -> set[str]:
    """Names that some nodes read: what functions among them do is part of what these do."""
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _holds(outer: ast.AST, node: ast.AST) -> bool:
    return any(inner is node for inner in ast.walk(outer))


def _read(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _statements(function: ast.FunctionDef | ast.Lambda) -> Iterator[ast.stmt]:
    """Yield the statements of a function that hold no others, those of functions inside it left out."""
    todo = list(function.body) if isinstance(function, ast.FunctionDef) else []
    while todo:
        node = todo.pop(0)
        blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
        if isinstance(node, ast.FunctionDef) or _refuses(node):
            continue
        if not any(blocks):
            yield node
        todo.extend(s for block in blocks for s in block)


def _assigned(node: ast.stmt) -> set[str]:
    """Names that a statement gives a value or may change, as ``np.add.at(dz, ...)`` does."""
    if isinstance(node, ast.Expr):
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)}


def _refuses(node: ast.AST) -> bool:
    """Whether a statement does nothing but refuse bad input, if only after saying more of it."""
    if isinstance(node, ast.If):
        return not node.orelse and _refuses(node.body[-1])
    return isinstance(node, (ast.Raise, ast.Assert))


def _walked(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is inside it, without what no mistake in a gradient is in."""
    yield node
    for child in _children(node):
        yield from _walked(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.keyword) and node.arg in ("axis", "keepdims"):
        return  # their values have changes of their own
    steering = _steering(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "args") and not isinstance(node, ast.Call):
            continue
        if isinstance(node, ast.While) and name == "test":
            continue  # it might never end
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _left_out(child) and not steering & _targets(child):
                yield child


def _left_out(node: ast.AST) -> bool:
    said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    data = isinstance(node, ast.keyword) and node.arg in _DATA
    return said or data or _refuses(node) or isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom))


def _steering(node: ast.AST) -> set[str]:
    """Names that decide when a loop ends."""
    return _read(node.test) if isinstance(node, ast.While) else set()


def _targets(node: ast.AST) -> set[str]:
    return _assigned(node) if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)) else set()
