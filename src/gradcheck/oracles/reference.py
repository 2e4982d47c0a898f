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

from gradcheck.oracles.remake import remake

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
    itself = "the forward itself", _afresh(bare, lambda value: value)
    if with_jax_numpy(bare) is bare:
        return (itself,)
    return (("the forward re-run with jax.numpy", _afresh(bare, _in_jax)), itself)


def _afresh(function: Function, replaced: Callable[[Any], Any]) -> Function:
    """Remake a function for each trace: a tracer that it keeps would break whatever finds it later."""

    def traced(*args: Any, **kwargs: Any) -> Any:
        return remake(function, replaced, always=True)(*args, **kwargs)

    return traced


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
    return remake(function, _in_jax)


def _in_jax(value: Any) -> Any:
    """Give JAX's counterpart of a module or function; the value itself where it has none."""
    import jax
    import jax.numpy as jnp

    if value is np:
        return _JaxNumpy("numpy")
    if isinstance(value, types.ModuleType):
        return _jax_module(value)
    if getattr(value, "__module__", None) == "builtins":  # Python's own sum adds arrays of JAX as they are
        return value
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
