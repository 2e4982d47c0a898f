"""Where a function is made of others: which those are, and the same with one of them exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from inspect import getattr_static
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from gradcheck.mutation.source import like

__all__ = ["exchanged", "inner", "neighbours"]

Function = Callable[..., Any]

# Their functions are taken as they are, also where one of them is all of a derivative.
_LIBRARIES = {"autograd", "functools", "jax", "numba", "numpy", "scipy", "torch"}


def inner(value: Any) -> Iterator[FunctionType]:
    """Yield the plain functions in a callable: itself, what a partial or a method binds, what a closure holds.

    Those of other packages are left out: nobody mutates what a library does.
    """
    if (package := _package(value)) not in _LIBRARIES:
        yield from _found(value, package, set())


def _found(value: Any, package: str, seen: set[int]) -> Iterator[FunctionType]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, FunctionType):
        if _package(value) == package:
            yield value
        for cell in value.__closure__ or ():
            yield from _found(_held(cell), package, seen)
    elif isinstance(value, partial):
        for part in (value.func, *value.args, *value.keywords.values()):
            yield from _found(part, package, seen)
    elif (method := _bound(value)[0]) is not None:
        yield from _found(method, package, seen)


def _bound(value: Any) -> tuple[FunctionType | None, Any]:
    """Give the function behind a method or a callable object, and the object."""
    if isinstance(value, MethodType):
        return (value.__func__, value.__self__) if isinstance(value.__func__, FunctionType) else (None, None)
    method = None if isinstance(value, type) else getattr_static(type(value), "__call__", None)
    return (method, value) if isinstance(method, FunctionType) else (None, None)


def _differ(parts: tuple[Any, ...], old: partial[Any]) -> bool:
    return any(a is not b for a, b in zip(parts, (old.func, *old.args, *old.keywords.values()), strict=True))


def _package(value: Any) -> str:
    while isinstance(value, partial):
        value = value.func
    return str(getattr(value, "__module__", None)).partition(".")[0]


def _held(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def neighbours(function: FunctionType, names: set[str]) -> list[FunctionType]:
    """Give the functions of a module that another one of it calls by these names."""
    found = [function.__globals__.get(name) for name in sorted(names & _names(function.__code__))]
    return [g for g in found if isinstance(g, FunctionType) and g.__module__ == function.__module__]


def _names(code: CodeType) -> set[str]:
    """Names of globals that code reads, also in the functions inside it, with those of attributes among them."""
    return {*code.co_names}.union(*(_names(c) for c in code.co_consts if isinstance(c, CodeType)))


def exchanged(value: Any, old: FunctionType, new: FunctionType) -> Any:
    """Give a callable in which one function is another, wherever it is reached; itself if it is not.

    What leads there is copied, so nobody else who calls the old one notices.
    """
    return _exchanged(value, old, new, set())


def _exchanged(value: Any, old: FunctionType, new: FunctionType, above: set[int]) -> Any:
    if value is old:
        return new
    if id(value) in above:  # functions that call each other
        return value
    other = partial(_exchanged, old=old, new=new, above=above | {id(value)})
    if isinstance(value, FunctionType):
        return _exchanged_inside(value, other)
    if isinstance(value, partial):
        args, keywords = [other(a) for a in value.args], {k: other(a) for k, a in value.keywords.items()}
        made = partial(other(value.func), *args, **keywords)
        return made if _differ((made.func, *args, *keywords.values()), value) else value
    method, owner = _bound(value)
    return MethodType(made, owner) if method is not None and (made := other(method)) is not method else value


def _exchanged_inside(function: FunctionType, other: Function) -> FunctionType:
    held = [_held(cell) for cell in function.__closure__ or ()]
    cells = [CellType(new) if callable(c) and (new := other(c)) is not c else None for c in held]
    called = {name: function.__globals__.get(name) for name in _names(function.__code__)}
    changed = {
        name: new
        for name, g in called.items()
        if isinstance(g, FunctionType) and g.__module__ == function.__module__ and (new := other(g)) is not g
    }
    if not changed and not any(cells):
        return function
    closure = tuple(new or cell for new, cell in zip(cells, function.__closure__ or (), strict=True))
    namespace = {**function.__globals__, **changed} if changed else None
    return like(function, function.__code__, closure=closure or None, namespace=namespace)
