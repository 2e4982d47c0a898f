"""Arrays of recorded numbers that pass for float64 arrays: what a NumPy forward is handed in place of its inputs.

NumPy's functions on an array of objects lack a few of their names (``logaddexp``, ``isnan``) and lose others' meaning
(``zeros_like`` makes a plain array of zeros). So elementwise functions are dispatched to scalar ones by their name,
with NumPy's own machinery of broadcasting, ``out=``, ``where=``, ``reduce`` and ``at``; all other functions are
NumPy's, whose results are made such arrays again.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gradcheck.oracles.own_forward.functions import PREDICATES, found, scalar
from gradcheck.oracles.own_forward.number import Number
from gradcheck.rule import is_float

__all__ = ["Numbers", "apply", "as_numbers", "attribute", "run"]

Array = np.ndarray[Any, np.dtype[Any]]

_FLOAT64, _OBJECT = np.dtype(np.float64), np.dtype(object)
# Options that choose a loop by type; there is one loop here.
_TYPING = frozenset({"dtype", "casting", "subok", "order", "signature"})


class Numbers(np.ndarray[Any, np.dtype[Any]]):
    """An array of objects, each a `Number` or a plain one, that says it were float64."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a forward takes it for, who may ask it for a finfo or for the type of a new array."""
        held = _dtype_of(self)
        return _FLOAT64 if held == _OBJECT else held

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return apply(ufunc, method, inputs, options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return run(func, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> types.ModuleType:
        from gradcheck.oracles.own_forward import namespace as own_namespace

        return own_namespace.module(np)

    def __repr__(self) -> str:
        return f"array({self.tolist()})"

    __str__ = __repr__

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """Copy; between floating-point types the values stay what they are."""
        wanted = np.dtype(dtype)
        if is_float(wanted) or wanted.kind == "O":
            return self.copy()
        return self.view(np.ndarray).astype(wanted, *args, **kwargs)


def as_numbers(result: Any) -> Any:
    """Make arrays of objects `Numbers` and others plain, alone or in a tuple or list."""
    if type(result) in (tuple, list):
        return type(result)(map(as_numbers, result))
    if not isinstance(result, np.ndarray):
        return result
    return result.view(Numbers if _dtype_of(result) == _OBJECT else np.ndarray)


def _dtype_of(array: Array) -> np.dtype[Any]:
    """Give what an array holds, whatever it says."""
    held: np.dtype[Any] = np.ndarray.dtype.__get__(array)
    return held


def run(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call one of NumPy's functions, as implemented for arrays of objects."""
    nothing: Array = np.empty(0)
    positional, named = tuple(map(_untyped, args)), {key: _untyped(value) for key, value in kwargs.items()}
    result = np.ndarray.__array_function__(nothing, function, (np.ndarray,), positional, named)
    return as_numbers(result)


def _untyped(argument: Any) -> Any:
    """Leave out a floating-point type that is asked for: room for objects is what has to be made."""
    if isinstance(argument, (type, np.dtype)) and is_float(np.dtype(argument)):
        return None
    return argument


def apply(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Run an elementwise function, or one of its methods, on arrays of numbers."""
    operation, predicate = _loop(ufunc)
    kept = {key: value for key, value in options.items() if key not in _TYPING and key != "out"}
    bare = [_bare(x) for x in inputs]
    (out,) = options.get("out") or (None,)
    if out is None:
        result = getattr(operation, method)(*bare, **kept)
        if predicate and result is not None:
            return result.astype(bool) if isinstance(result, np.ndarray) else np.bool_(result)
        return np.float64(result) if type(result) in (int, float) else as_numbers(result)
    room = _bare(out)
    if room.dtype != _OBJECT:
        room = room.astype(object)
    getattr(operation, method)(*bare, out=room, **kept)
    if not isinstance(out, Numbers):
        out[...] = room
    return out


@lru_cache(maxsize=1024)
def _loop(ufunc: np.ufunc) -> tuple[Any, bool]:
    """Give what NumPy calls per entry, and whether it answers yes or no."""
    name = ufunc.__name__
    if found(name) is None and any(loop.startswith("O") for loop in ufunc.types):
        return ufunc, False  # products of matrices, and what np.vectorize makes: they call the elements' operators
    # explicitly no identity means that axes may be reduced in any order, which a plain one would not allow
    identity = ufunc.identity if ufunc.nin == 2 and ufunc.nout == 1 else None
    return np.frompyfunc(scalar(name, ufunc), ufunc.nin, ufunc.nout, identity=identity), name in PREDICATES


def _bare(x: Any) -> Any:
    """Give what NumPy's loops over objects take, in the same memory."""
    if isinstance(x, Numbers):
        return x.view(np.ndarray)
    return _boxed(x) if type(x) is Number else x


def _boxed(number: Number) -> Array:
    box = np.empty((), dtype=object)
    box[()] = number
    return box


def attribute(number: Number, name: str) -> Any:
    """Give a scalar the functions that NumPy's loops over objects look for, and the methods of an array of one."""
    if name.startswith("__"):  # NumPy asks by these whether it is an array
        raise AttributeError(name)
    if name == "dtype":  # NumPy converts means with it
        return np.dtype(object)
    function = found(name)
    return partial(function, number) if function is not None else getattr(_boxed(number).view(Numbers), name)
