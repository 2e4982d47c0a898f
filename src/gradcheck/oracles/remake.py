"""Python functions remade: the same code, in which some global names mean something else.

A forward that says ``np.zeros(n)`` can be run on other arrays than NumPy's only if ``np`` is another thing in it, and
in every Python function that it calls. Nothing is patched: the functions handed out are copies, and so are the objects
that they keep anything in (their globals, what their closures share, the layer whose method one is, a cache), since
what such a run leaves there would break the next ordinary call.
"""

from __future__ import annotations

import abc
import builtins
import collections
import copy
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

__all__ = ["remake"]

Function = Callable[..., Any]

# Whose functions and objects stay what they are.
_FOREIGN = frozenset({"flint", "jax", "jaxlib", "numpy", "scipy", "torch"}) | sys.stdlib_module_names
# Of which a container may hold a million.
_ATOMS = frozenset({bool, bytes, complex, float, int, str, type(None)})
_CONTAINERS = frozenset({dict, list, set, tuple, collections.OrderedDict, collections.defaultdict, collections.deque})
# What else than names of the code is looked up in globals: by import, by warnings and by tracebacks.
_LOOKED_UP = ("__builtins__", "__file__", "__loader__", "__name__", "__package__", "__spec__")
_KEPT = ("__doc__", "__module__", "__qualname__")


def remake(function: Function, replaced: Callable[[Any], Any], *, always: bool = False) -> Function:
    """Remake a Python function so that whatever it and its callees refer to is replaced.

    Parameters
    ----------
    function : callable
        A function, a bound method, an object with a ``__call__``, or a `functools.partial` of one. Anything else is
        only looked up itself.
    replaced : callable
        From what a global name or a closure holds to what it shall hold; the same object where it stays.
    always : bool
        Copy where nothing is replaced, too, for the sake of what the function would write into.

    Returns
    -------
    callable
        The same object where nothing in it is replaced, unless it is copied always.

    Examples
    --------
    >>> import math
    >>> def area(r):
    ...     return math.pi * r**2
    >>> remake(area, lambda value: types.SimpleNamespace(pi=3) if value is math else value)(2)
    12
    """
    remaking = _Remaking(replaced)
    try:
        made: Function = remaking.of(function)
    except RecursionError:  # it keeps objects that are linked to one another farther than Python's stack goes
        return function
    return made if always or remaking.changed else function


class _Overlay(dict[str, Any]):
    """The globals of remade functions: what differs, over the module's own, which are read when asked for."""

    def __init__(self, under: dict[str, Any]) -> None:
        super().__init__({name: under[name] for name in _LOOKED_UP if name in under})
        self.under = under

    def __missing__(self, name: str) -> Any:
        return self.under[name]


class _Remaking:
    """One copy of all that is reachable from a function: whatever two functions share, their copies share."""

    def __init__(self, replaced: Callable[[Any], Any]) -> None:
        self.replaced = replaced
        self.changed = False
        self._made: dict[int, tuple[Any, Any]] = {}  # with the original, so that its id is not given away
        self._globals: dict[int, _Overlay] = {}

    def of(self, value: Any) -> Any:
        """Give the copy of a value, or the value itself where it is not one to be copied."""
        if type(value) in _ATOMS:
            return value
        if id(value) in self._made:
            return self._made[id(value)][1]
        other = self.replaced(value)
        if other is not value:
            self.changed = True
            return self._remember(value, other)
        if isinstance(value, functools.partial):
            arguments = {name: self.of(argument) for name, argument in value.keywords.items()}
            return functools.partial(self.of(value.func), *map(self.of, value.args), **arguments)
        if isinstance(value, types.MethodType):
            owner = self.of(value.__self__)
            if owner is value.__self__ and not _stays(owner):  # it holds nothing yet
                owner = self._instance(owner, written=True)
            return types.MethodType(self.of(value.__func__), owner)
        if isinstance(value, types.FunctionType):
            return value if _is_foreign(value) else self._function(value)
        if type(value) in _CONTAINERS:
            return self._container(value)
        return value if _stays(value) else self._instance(value)

    def _remember(self, value: Any, made: Any) -> Any:
        self._made[id(value)] = value, made
        return made

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        names = self._overlay(function.__globals__)
        cells = tuple(map(self._cell, function.__closure__ or ()))
        made = types.FunctionType(function.__code__, names, function.__name__, None, cells)
        self._remember(function, made)  # before what it refers to, which may be itself
        for name in _KEPT:
            setattr(made, name, getattr(function, name))
        made.__defaults__ = self.of(function.__defaults__)
        made.__kwdefaults__ = self.of(function.__kwdefaults__)
        made.__dict__.update({name: self.of(value) for name, value in vars(function).items()})
        for new, old in zip(cells, function.__closure__ or (), strict=True):
            self._fill(new, old)
        for name in _global_names(function.__code__):
            self._name(names, name)
        return made

    def _overlay(self, names: dict[str, Any]) -> _Overlay:
        return self._globals.setdefault(id(names), _Overlay(names))

    def _name(self, names: _Overlay, name: str) -> None:
        if name in names.under or hasattr(builtins, name):
            old = names.under[name] if name in names.under else getattr(builtins, name)
            new = self.of(old)
            if new is not old:
                names[name] = new

    def _cell(self, cell: types.CellType) -> types.CellType:
        if id(cell) not in self._made:
            self._remember(cell, types.CellType())
        made: types.CellType = self._made[id(cell)][1]
        return made

    def _fill(self, new: types.CellType, old: types.CellType) -> None:
        try:
            contents = old.cell_contents
        except ValueError:  # a name that is not bound yet
            return
        new.cell_contents = self.of(contents)

    def _container(self, value: Any) -> Any:
        if isinstance(value, (tuple, set)):
            new = [self.of(item) for item in value]
            same = isinstance(value, tuple) and all(a is b for a, b in zip(new, value, strict=True))
            return value if same else self._remember(value, type(value)(new))
        made = self._remember(value, copy.copy(value))
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            made[key] = self.of(item)
        return made

    def _instance(self, value: Any, *, written: bool = False) -> Any:
        """Copy an object of the user's; what holds nothing may be a mark that is asked for by ``is``."""
        call = inspect.getattr_static(type(value), "__call__", None)
        called = isinstance(call, types.FunctionType) and not _is_foreign(call)
        state = getattr(value, "__dict__", None) or {}
        if not (called or state or written):
            return value
        try:
            made = copy.copy(value)
        except Exception:  # whatever its class says to that
            return value
        if made is value:
            return value
        self._remember(value, made)
        for name, held in state.items():
            if (new := self.of(held)) is not held:
                made.__dict__[name] = new
        methods = self._methods(type(value))
        return self._remember(value, _with_methods(made, methods)) if methods else made

    def _methods(self, kind: type) -> dict[str, types.FunctionType]:
        """Remake those functions of a class that look up what is not the same in a copy."""
        found = {}
        for name in dir(kind):
            function = inspect.getattr_static(kind, name)
            if isinstance(function, types.FunctionType) and not _is_foreign(function):
                inner = self.of(function)
                if not _global_names(function.__code__).isdisjoint(inner.__globals__):
                    found[name] = inner
        return found


def _with_methods(instance: Any, methods: dict[str, types.FunctionType]) -> Any:
    """Give an object a class of its own, for Python looks no further for how it is called.

    Where its class takes note of whatever is derived from it, or allows no such change, only a call is remade.
    """
    kind, call = type(instance), methods.get("__call__")
    plain = instance if call is None else types.MethodType(call, instance)
    if type(kind) not in (type, abc.ABCMeta) or not isinstance(kind.__init_subclass__, types.BuiltinMethodType):
        return plain
    names = {**methods, "__slots__": (), "__module__": kind.__module__}
    made = types.new_class(kind.__name__, (kind,), exec_body=lambda space: space.update(names))
    try:
        object.__setattr__(instance, "__class__", made)
    except TypeError:
        return plain
    return instance


def _stays(value: Any) -> bool:
    return isinstance(value, (type, types.ModuleType)) or _is_foreign(type(value))


def _is_foreign(value: Any) -> bool:
    return (value.__module__ or "").split(".")[0] in _FOREIGN


def _global_names(code: types.CodeType) -> set[str]:
    """Names a function and the functions nested in it may look up globally."""
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_global_names, nested))
