"""A gradient written by hand at one point, and the same as a peer sees it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Function = Callable[..., Any]
Pull = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Question:
    """A rule at one point.

    Attributes
    ----------
    functions : callable
        Makes the pair ``(fun, backward)`` with fresh state. ``backward`` is ``grad(*args)`` in the form ``loss``,
        ``vjp(*args, cotangent)`` in ``vjp``, and ``fun(*args) -> (out, pullback)`` in ``pullback``.
    form : str
        One of these three.
    args : tuple
        The arguments, data among them.
    argnums : tuple of int
        Which of them are differentiated.
    cotangent : array
        Shaped like the value, for peers that only check functions with one number for a value.
    """

    functions: Callable[[], tuple[Function, Function]]
    form: Literal["loss", "vjp", "pullback"]
    args: tuple[Any, ...]
    argnums: tuple[int, ...]
    cotangent: Any


class Handwritten:
    """A question as a function of its primals alone, with a pullback, in NumPy.

    ``fault`` becomes what the backward did that no backward may do: raise, or answer in another structure, shape or
    dtype. It tells a peer that stumbles over a wrong answer from one that cannot express the case.
    """

    def __init__(self, question: Question) -> None:
        self._form, self._argnums = question.form, question.argnums
        self._fun, self._backward = question.functions()
        # the check of one point must not change it for the next one
        self._args = tuple(copy.deepcopy(arg) for arg in question.args)
        self.primals = tuple(np.asarray(self._args[at]) for at in question.argnums)
        self.cotangent = copy.deepcopy(question.cotangent)
        self.fault: str | None = None

    def value(self, *primals: Any) -> Any:
        """Call the forward."""
        return self._fun(*self._arguments(primals))

    def linearize(self, *primals: Any) -> tuple[Any, Pull]:
        """Call the forward; return its value, and the pullback into a tuple with a gradient for each primal."""
        args = self._arguments(primals)
        if self._form == "pullback":
            out, pullback = self._backward(*args)
        elif self._form == "vjp":
            out, pullback = self._fun(*args), lambda cotangent: self._backward(*args, cotangent)
        else:
            out, pullback = self._fun(*args), lambda cotangent: _scaled(self._backward(*args), cotangent)

        def pull(cotangent: Any) -> tuple[Any, ...]:
            try:
                results = pullback(cotangent)
            except Exception as error:
                self.fault = f"the backward raised {type(error).__name__}"
                raise
            return self._noted(results if isinstance(results, tuple) else (results,))

        return out, pull

    def _arguments(self, primals: tuple[Any, ...]) -> tuple[Any, ...]:
        given = dict(zip(self._argnums, primals, strict=True))
        return tuple(given.get(at, arg) for at, arg in enumerate(self._args))

    def _noted(self, results: tuple[Any, ...]) -> tuple[Any, ...]:
        arrays = tuple(None if result is None else np.asarray(result) for result in results)
        found = [None if array is None else (array.shape, array.dtype) for array in arrays]
        if found != [(primal.shape, primal.dtype) for primal in self.primals]:
            self.fault = "the backward answered in another structure, shape or dtype"
        return arrays


def _scaled(gradient: Any, cotangent: Any) -> Any:
    """Multiply the gradient of a loss by its cotangent, as whoever wraps it writes; no dtype changes by that."""
    if isinstance(gradient, tuple):
        return tuple(_scaled(one, cotangent) for one in gradient)
    if gradient is None:
        return None
    array = np.asarray(gradient)
    return array * np.asarray(cotangent).astype(array.dtype)
