"""Pairs of plain functions into a `Rule`: loss and gradient, function and vjp, forward and backward, pullback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import ismethod
from operator import attrgetter
from typing import Any

import numpy as np

from gradcheck.domain import Domains
from gradcheck.errors import InvalidArgument
from gradcheck.rule import Pullback, Rule, as_positions, positional_names, qualified, require_callable

__all__ = ["from_forward_backward", "from_loss", "from_pullback", "from_vjp"]

Function = Callable[..., Any]


def from_loss(
    loss: Function,
    grad: Function,
    *,
    argnums: int | tuple[int, ...] = 0,
    name: str | None = None,
    reference: Function | None = None,
    domain: Domains = None,
) -> Rule:
    """Make a rule of a scalar loss and the gradient that somebody derived for it.

    Parameters
    ----------
    loss : callable
        ``loss(z, *data, **options) -> scalar``.
    grad : callable
        ``grad(z, *data, **options)``, shaped like ``z``; a tuple in the order of ``argnums`` if there are several.
    argnums : int or tuple of int
        Which positional arguments ``grad`` differentiates by.
    name : str, optional
        How reports call the rule; by default the qualified name of ``grad``.
    reference : callable, optional
        A restatement of ``loss`` that JAX can trace. Left out, ``loss`` itself is tried, with ``jax.numpy`` in
        place of ``numpy``.
    domain : Domain, dict or tuple, optional
        Where the differentiated arguments may lie, such as ``gradcheck.domain.positive`` or
        ``{"p": gradcheck.domain.simplex}``; see `gradcheck.domain`.

    Raises
    ------
    InvalidArgument
        If ``loss`` or ``grad`` is not callable, ``argnums`` is not made of positions, or ``domain`` of domains.

    Examples
    --------
    >>> import numpy as np
    >>> rule = from_loss(lambda w: 0.5 * np.sum(w * w), lambda w: w.copy(), name="half square")
    >>> value, pullback = rule(np.array([1.0, -2.0]))
    >>> float(value), pullback(1.0)
    (2.5, array([ 1., -2.]))
    """
    require_callable(loss=loss, grad=grad)

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        def pullback(cotangent: Any) -> Any:
            gradient = grad(*args, **kwargs)
            if np.all(np.asarray(cotangent) == 1):
                return gradient  # untouched, so that what is wrong with it can be seen
            return _scaled(gradient, cotangent)

        return loss(*args, **kwargs), pullback

    return Rule(
        call,
        loss,
        name or qualified(grad),
        as_positions(argnums),
        reference,
        takes_cotangent=False,
        parameters=positional_names(loss),
        target=_target(loss, grad),
        maker="from_loss",
        domain=domain,
        written=(loss, grad),
    )


def from_vjp(
    fun: Function,
    vjp: Function,
    *,
    argnums: int | tuple[int, ...] | None = None,
    name: str | None = None,
    reference: Function | None = None,
    domain: Domains = None,
) -> Rule:
    """Make a rule of a function and its vector-Jacobian product.

    Parameters
    ----------
    fun : callable
        ``fun(*args, **options) -> out``, an array of any shape.
    vjp : callable
        ``vjp(*args, cotangent, **options)``, with ``cotangent`` shaped like ``out`` as the last positional argument;
        returns one cotangent per differentiated argument (bare if there is one, else a tuple).
    argnums : int or tuple of int, optional
        Which positional arguments are differentiated; by default every floating-point one.
    name, reference, domain
        As in `from_loss`.

    Raises
    ------
    InvalidArgument
        If ``fun`` or ``vjp`` is not callable, ``argnums`` is not made of positions, or ``domain`` of domains.

    Examples
    --------
    >>> import numpy as np
    >>> rule = from_vjp(np.tanh, lambda x, cotangent: cotangent * (1 - np.tanh(x) ** 2), name="tanh")
    >>> out, pullback = rule(np.array([0.0]))
    >>> pullback(np.array([3.0]))
    array([3.])
    """
    require_callable(fun=fun, vjp=vjp)

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        return fun(*args, **kwargs), lambda cotangent: vjp(*args, cotangent, **kwargs)

    return Rule(
        call,
        fun,
        name or qualified(vjp),
        None if argnums is None else as_positions(argnums),
        reference,
        parameters=positional_names(fun),
        target=_target(fun, vjp),
        maker="from_vjp",
        domain=domain,
        written=(fun, vjp),
    )


def from_forward_backward(
    forward: Function,
    backward: Function,
    *,
    argnums: int | tuple[int, ...] | None = None,
    name: str | None = None,
    reference: Function | None = None,
    domain: Domains = None,
) -> Rule:
    """Make a rule of a pair that passes a cache: ``forward(*args) -> (out, cache)``, ``backward(dout, cache)``.

    ``backward`` returns one cotangent per differentiated argument. Other parameters are those of `from_vjp`.

    Raises
    ------
    InvalidArgument
        If either is not callable, or, when the rule is run, if ``forward`` does not return a pair.

    Examples
    --------
    >>> import numpy as np
    >>> rule = from_forward_backward(lambda x: (x * x, x), lambda dout, x: 2 * x * dout, name="square")
    >>> out, pullback = rule(np.array([3.0]))
    >>> pullback(np.array([1.0]))
    array([6.])
    """
    require_callable(forward=forward, backward=backward)
    label = name or qualified(backward)

    def split(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        result = forward(*args, **kwargs)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise InvalidArgument(
                f"{label}: forward must return the pair (out, cache), got {type(result).__name__}; "
                "a forward that returns its value alone goes with from_loss or from_vjp"
            )
        return result

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        out, cache = split(*args, **kwargs)
        return out, lambda cotangent: backward(cotangent, cache)

    def value(*args: Any, **kwargs: Any) -> Any:
        return split(*args, **kwargs)[0]

    return Rule(
        call,
        value,
        label,
        None if argnums is None else as_positions(argnums),
        reference,
        parameters=positional_names(forward),
        target=_target(forward, backward),
        maker="from_forward_backward",
        domain=domain,
        written=(forward, backward),
    )


def from_pullback(
    fun: Function,
    *,
    argnums: int | tuple[int, ...] | None = None,
    forward: Function | None = None,
    name: str | None = None,
    reference: Function | None = None,
    domain: Domains = None,
) -> Rule:
    """Make a rule of a function that already is one: ``fun(*args) -> (out, pullback)``.

    Parameters
    ----------
    fun : callable
        ``fun(*args, **options) -> (out, pullback)``; ``pullback(cotangent)`` as in `Rule`.
    forward : callable, optional
        The plain function, where it exists apart; by default the first of what ``fun`` returns.
    argnums, name, reference, domain
        As in `from_vjp`.

    Raises
    ------
    InvalidArgument
        If ``fun`` is not callable, or, when it is run, does not return a pair whose second part is callable.

    Examples
    --------
    >>> import numpy as np
    >>> rule = from_pullback(lambda x: (np.sin(x), lambda g: g * np.cos(x)), name="sine")
    >>> rule(np.array([0.0]))[1](np.array([2.0]))
    array([2.])
    """
    require_callable(fun=fun)
    label = name or qualified(fun)

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Pullback]:
        result = fun(*args, **kwargs)
        if not (isinstance(result, tuple) and len(result) == 2 and callable(result[1])):
            raise InvalidArgument(f"{label}: must return the pair (out, pullback), got {type(result).__name__}")
        return result

    return Rule(
        call,
        (lambda *args, **kwargs: call(*args, **kwargs)[0]) if forward is None else forward,
        label,
        None if argnums is None else as_positions(argnums),
        reference,
        parameters=positional_names(fun),
        target=_target(fun),
        maker="from_pullback",
        domain=domain,
        written=(fun,),
    )


def _scaled(gradient: Any, cotangent: Any) -> Any:
    """Multiply every array of a gradient, which keeps its dtype."""
    import jax

    def one(leaf: Any) -> Any:
        array = np.asarray(leaf)
        return np.asarray(cotangent, dtype=array.dtype) * array

    return jax.tree_util.tree_map(one, gradient)


def _target(*functions: Function) -> tuple[str, ...]:
    """``module:qualname`` of each function, or nothing at all if one of them cannot be imported by name."""
    paths = tuple(map(_import_path, functions))
    return paths if all(paths) else ()


def _import_path(function: Function) -> str:
    """Name where a function is imported from; nothing if something else is there, as for a method of an object."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    try:
        found = attrgetter(name)(sys.modules[module or ""])
    except (KeyError, AttributeError):
        return ""
    return f"{module}:{name}" if found is function or (ismethod(function) and found == function) else ""
