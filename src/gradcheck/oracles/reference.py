"""Where the autodiff oracle gets a function that JAX can trace.

First the restatement the user gave; then the forward as it is (jax.numpy or array-API code); then a NumPy forward
re-made so that it, and every Python function it calls, sees ``jax.numpy`` in place of ``numpy``. A candidate is only
believed where its value agrees with the forward on the very example, which the judge decides.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["candidates", "with_jax_numpy"]

Function = Callable[..., Any]


def candidates(forward: Function, reference: Function | None) -> tuple[tuple[str, Function], ...]:
    """Name and give the functions to try, best first. An explicit reference stands alone."""
    if reference is not None:
        return (("the reference given", _hashable(_bare(reference))),)
    return _found(_hashable(forward))


def _hashable(function: Function) -> Function:
    """Wrap a callable that cannot be a key (an instance of a dataclass): it is then traced anew each time."""
    try:
        hash(function)
    except TypeError:
        return functools.partial(function)
    return function


@functools.lru_cache(maxsize=256)
def _found(forward: Function) -> tuple[tuple[str, Function], ...]:
    bare = _bare(forward)
    remade = with_jax_numpy(bare)
    if remade is bare:
        return (("the forward itself", bare),)
    return (("the forward re-run with jax.numpy", remade), ("the forward itself", bare))


def _bare(function: Function) -> Function:
    """Strip a custom derivative rule: a hand-written rule is never its own reference."""
    import jax

    bare: Any = function
    while isinstance(bare, (jax.custom_vjp, jax.custom_jvp)):
        bare = bare.fun
    return bare  # type: ignore[no-any-return]  # JAX's custom rules leave their function untyped


def with_jax_numpy(function: Function) -> Function:
    """Remake a Python function so that ``numpy`` means ``jax.numpy`` in it and in all that it calls.

    Returns the same object where nothing in it refers to NumPy.
    """
    remade: Function = _remake(function, {})
    return remade


def _remake(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    import jax
    import jax.numpy as jnp

    if value is np:
        return _JaxNumpy("numpy")
    if isinstance(value, types.ModuleType):
        return _jax_module(value)
    if isinstance(value, functools.partial):
        inner = _remake(value.func, memo)
        return value if inner is value.func else functools.partial(inner, *value.args, **value.keywords)
    if isinstance(value, types.MethodType):
        inner = _remake(value.__func__, memo)
        return value if inner is value.__func__ else types.MethodType(inner, value.__self__)
    if isinstance(value, types.FunctionType):
        return _remake_function(value, memo)
    if isinstance(value, (np.ufunc, types.BuiltinFunctionType)) or _belongs_to_numpy(value):
        # `from numpy import exp`, and scipy.special's ufuncs, by name
        name = getattr(value, "__name__", "")
        return getattr(jnp, name, None) or getattr(jax.scipy.special, name, None) or value
    return value


class _JaxNumpy(types.ModuleType):
    """``jax.numpy`` under NumPy's name, with NumPy's own for what has no counterpart (``np.errstate``)."""

    def __getattr__(self, name: str) -> Any:
        import jax.numpy as jnp

        return getattr(jnp, name) if hasattr(jnp, name) else getattr(np, name)


def _belongs_to_numpy(value: Any) -> bool:
    return callable(value) and (getattr(value, "__module__", None) or "").split(".")[0] == "numpy"


def _jax_module(module: types.ModuleType) -> types.ModuleType:
    import jax

    return {"scipy.special": jax.scipy.special, "scipy": jax.scipy, "numpy.linalg": jax.numpy.linalg}.get(
        module.__name__, module
    )


def _remake_function(function: types.FunctionType, memo: dict[int, Any]) -> types.FunctionType:
    if function.__module__ and function.__module__.split(".")[0] in ("numpy", "jax", "scipy"):
        return function
    memo[id(function)] = function  # for recursion; replaced below if anything in it changes
    names = _global_names(function.__code__)
    seen = {n: function.__globals__[n] for n in names if n in function.__globals__}
    new_globals = {n: _remake(v, memo) for n, v in seen.items()}
    cells = function.__closure__ or ()
    contents = [_contents(c) for c in cells]
    new_contents = [_remake(c, memo) for c in contents]
    if all(new_globals[n] is seen[n] for n in seen) and all(
        a is b for a, b in zip(contents, new_contents, strict=True)
    ):
        return function
    remade = types.FunctionType(
        function.__code__,
        {**function.__globals__, **new_globals},
        function.__name__,
        function.__defaults__,
        tuple(c if a is b else types.CellType(b) for c, a, b in zip(cells, contents, new_contents, strict=True)),
    )
    remade.__kwdefaults__ = function.__kwdefaults__
    memo[id(function)] = remade
    return remade


def _global_names(code: types.CodeType) -> set[str]:
    """Names a function and the functions nested in it may look up globally."""
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_global_names, nested))


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None
