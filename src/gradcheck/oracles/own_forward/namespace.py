"""What ``np``, ``math``, ``scipy.special`` and ``float`` mean in a forward that is run on recorded numbers.

Almost everything is NumPy's own, for `gradcheck.oracles.own_forward.array` meets its functions where they are.
Replaced are those that see no recorded number and yet must make room for one (``np.zeros(n)``), those that convert
(``float``, ``np.asarray(z, dtype=float)``), and those that are not NumPy's (``math.exp``,
``scipy.special.logsumexp``).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from gradcheck.oracles.own_forward.array import Numbers, as_numbers
from gradcheck.oracles.own_forward.functions import found, scalar
from gradcheck.oracles.own_forward.number import Number
from gradcheck.oracles.remake import remake
from gradcheck.rule import is_float

__all__ = ["module", "on_numbers"]

Function = Callable[..., Any]

_ROOMS = frozenset({"empty", "full", "ones", "zeros"})
_CONVERTERS = frozenset({"array", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray"})
_FLOATS = frozenset({"double", "float16", "float32", "float64", "half", "single"})
_MODULES = frozenset({"math", "numpy", "scipy", "scipy.special"})


def on_numbers(forward: Function) -> Function:
    """Remake a forward so that it can be run on arrays of recorded numbers, once: what it keeps, the copy keeps."""
    return remake(forward, _replaced, always=True)


def _replaced(value: Any) -> Any:
    """Give what stands for a value that a name holds; the value itself where nothing has to."""
    if isinstance(value, types.ModuleType):
        return module(value) if value.__name__ in _MODULES else value
    if value is float:
        return _Float("float", (), {"kind": float})
    home = (getattr(value, "__module__", None) or "").split(".")
    if home[0] not in ("math", "numpy", "scipy"):
        return value
    return _counterpart(home[0], getattr(value, "__name__", ""), value)


@lru_cache(maxsize=len(_MODULES))
def module(original: types.ModuleType) -> types.ModuleType:
    """Give what stands for one of the modules that are replaced: always the same, as modules are."""
    return _Module(original)


class _Module(types.ModuleType):
    """A module, some of whose names mean something else."""

    def __init__(self, original: types.ModuleType) -> None:
        super().__init__(original.__name__)
        self._original = original

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._original, name)
        if isinstance(value, types.ModuleType):
            return _replaced(value)
        return _counterpart(self.__name__.split(".")[0], name, value)


def _counterpart(package: str, name: str, value: Any) -> Any:
    if package == "math" and name != "remainder":  # which is to the nearest multiple, not NumPy's
        return scalar(name, value) if callable(value) and found(name) is not None else value
    if package == "scipy":
        special = _SPECIAL.get(name)
        return value if special is None else partial(special, value)
    if name in _ROOMS:
        return partial(_room, value)
    if name in _CONVERTERS:
        return partial(_converted, value)
    if name == "result_type":
        return _result_type
    return _Float(name, (), {"kind": value}) if name in _FLOATS else value


class _Float(type):
    """A floating-point type as forwards use it: called, as a dtype, and as what something is an instance of.

    Calling it leaves recorded numbers what they are.
    """

    kind: type[Any]

    @property
    def dtype(cls) -> np.dtype[Any]:
        made: np.dtype[Any] = np.dtype(cls.kind)
        return made

    def __call__(cls, x: Any = 0.0) -> Any:
        if isinstance(x, Numbers) and (cls.kind is float or x.ndim == 0):
            x = x.item()
        return x if isinstance(x, (Number, Numbers)) else cls.kind(x)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (cls.kind, Number))

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.kind, name)


def _result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """Count recorded numbers as float64; NumPy's own functions, which ask as well, must see objects."""
    return np.result_type(*[np.dtype(float) if isinstance(x, (Number, Numbers)) else x for x in arrays_and_dtypes])


def _room(maker: Function, *args: Any, **kwargs: Any) -> Any:
    """Make room for recorded numbers where there would be room for floats."""
    array = maker(*args, **kwargs)
    return _with_room(array) if maker is not np.empty else _with_room(np.zeros_like(array))


def _with_room(array: Any) -> Any:
    wide = is_float(array.dtype) or array.dtype == np.dtype(object)
    return as_numbers(array.astype(object)) if wide and not isinstance(array, Numbers) else array


def _converted(converter: Function, value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """Convert to an array; recorded numbers stay such, in the same memory where the converter would keep it."""
    numbers = np.asarray(value)
    if numbers.dtype != np.dtype(object):
        made = converter(value, dtype, **kwargs)
        return made if np.shares_memory(made, numbers) else _with_room(made)
    if dtype is not None and not is_float(np.dtype(dtype)) and np.dtype(dtype) != np.dtype(object):
        return converter(numbers, dtype, **kwargs)
    return as_numbers(converter(numbers, **kwargs))


def _logsumexp(
    plain: Function, a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """Stand for ``scipy.special.logsumexp``, which tells arrays apart by what they are not here."""
    if not isinstance(a, Numbers) or return_sign:
        return plain(a, axis=axis, b=b, keepdims=keepdims, return_sign=return_sign)
    largest = np.max(a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(largest), largest, 0.0)
    powers = np.exp(a - top) if b is None else b * np.exp(a - top)
    result = np.log(np.sum(powers, axis=axis, keepdims=True)) + top
    return result if keepdims else result.reshape(np.sum(np.zeros(a.shape), axis=axis).shape)[()]


def _log_softmax(plain: Function, x: Any, axis: Any = None) -> Any:
    return x - _logsumexp(plain, x, axis=axis, keepdims=True) if isinstance(x, Numbers) else plain(x, axis=axis)


def _softmax(plain: Function, x: Any, axis: Any = None) -> Any:
    return np.exp(_log_softmax(plain, x, axis)) if isinstance(x, Numbers) else plain(x, axis=axis)


_SPECIAL: dict[str, Function] = {"log_softmax": _log_softmax, "logsumexp": _logsumexp, "softmax": _softmax}
