"""One program, many arithmetics: JAX differentiates, NumPy evaluates.

JAX turns the vector-Jacobian product of a reference into a list of primitive equations (a jaxpr). Compiling that for
every shape that Hypothesis draws would cost 0.2 s each, so it is traced once on *symbolic* sizes, bound to the sizes
at hand (about half a millisecond, remembered), and evaluated by NumPy, in the arithmetics of
`gradcheck.oracles.program.plan`. Where a reference cannot be traced on symbolic sizes (``len(z)``, a Python branch on
a size) it is traced per shape.

This module traces; `binding` turns what was traced into a plan, in which loops are unrolled (`control`), large
primitives rewritten in smaller ones (`lowering`), approximations named for what they stand for (`replacements`), and
each remaining step has an operation of NumPy (`primitives`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from gradcheck.oracles.program.binding import Binder, Outline, outline
from gradcheck.oracles.program.operation import Untraceable
from gradcheck.oracles.program.plan import Plan

__all__ = ["Leaf", "Plan", "Signature", "Static", "Untraceable", "plan"]


@dataclass(frozen=True)
class Static:
    """An argument that is not an array: a reduction's name, a flag. It is part of what is traced."""

    value: Hashable


@dataclass(frozen=True)
class Leaf:
    """An array argument: its shape (sizes, or their symbols), its dtype, and whether it is differentiated."""

    shape: tuple[int | str, ...]
    dtype: str
    differentiated: bool


@dataclass(frozen=True)
class Signature:
    """What a program depends on: tree structure, and per leaf a static value or an array's type."""

    tree: Hashable
    leaves: tuple[Static | Leaf, ...]

    def generic(self) -> tuple[Signature, dict[str, int]]:
        """Put symbols for sizes: equal sizes share one; 0 and 1 stay numbers, since broadcasting depends on them.

        A program traced on the generic signature serves exactly those shapes that lead to the same one, so sizes
        that happen to be equal (N = K) cost one more trace and can never mislead.
        """
        symbols: dict[int | str, str] = {}
        leaves: list[Static | Leaf] = []
        for leaf in self.leaves:
            if isinstance(leaf, Leaf):
                for size in leaf.shape:
                    if size not in (0, 1):
                        symbols.setdefault(size, f"n{len(symbols)}")
                leaf = replace(leaf, shape=tuple(symbols.get(size, size) for size in leaf.shape))
            leaves.append(leaf)
        return Signature(self.tree, tuple(leaves)), {name: int(size) for size, name in symbols.items()}


def plan(reference: Callable[..., Any], signature: Signature, *, mode: str = "reverse") -> Plan:
    """Trace ``reference`` (or recall its trace) and bind it to the sizes of ``signature``.

    In mode "reverse" the program takes the leaves and a cotangent per value, and returns the values and a cotangent
    per differentiated leaf (``jax.vjp``); in mode "forward" it takes the leaves and a tangent per differentiated
    leaf, and returns the values and a tangent per value (``jax.jvp``).

    Raises
    ------
    Untraceable
        With the reason: what JAX said, or the primitive that the interpreter lacks.
    """
    found = _plan(reference, signature, mode)
    if isinstance(found, str):
        raise Untraceable(found)
    return found


# A rule is checked at many sizes of few patterns; beyond these many, the oldest are bound or traced again.
@lru_cache(maxsize=2048)
def _plan(reference: Callable[..., Any], signature: Signature, mode: str) -> Plan | str:
    generic, sizes = signature.generic()
    traced = _program(reference, generic, mode) if sizes else "no sizes to generalise"
    if isinstance(traced, str):
        sizes = {}
        traced = _program(reference, signature, mode)
    if isinstance(traced, str):
        return traced
    try:
        return traced.at(sizes)
    except Untraceable as reason:
        return str(reason)


@dataclass(frozen=True, eq=False)
class _Program:
    """A closed jaxpr, how many values of the reference come first among its outputs, and the names of its sizes."""

    closed: Any
    n_values: int
    symbols: tuple[str, ...]

    @cached_property
    def _outline(self) -> Outline | None:
        return outline(self.closed, self.n_values, self.symbols)

    def at(self, sizes: Mapping[str, int]) -> Plan:
        """Bind to sizes."""
        if sizes and self._outline:
            return self._outline.at(sizes)
        return Binder(sizes).bind(self.closed, self.n_values)


@lru_cache(maxsize=256)
def _program(reference: Callable[..., Any], signature: Signature, mode: str) -> _Program | str:
    """Trace value and derivative of ``reference``; a string says why that was not possible."""
    import jax

    arrays = [leaf for leaf in signature.leaves if isinstance(leaf, Leaf)]
    names = sorted({s for a in arrays for s in a.shape if isinstance(s, str)})
    sizes = jax.export.symbolic_shape(",".join(names)) if names else ()
    symbols: dict[int | str, Any] = dict(zip(names, sizes, strict=True))
    struct: Any = jax.ShapeDtypeStruct
    structs = [struct([symbols.get(s, s) for s in a.shape], np.dtype(a.dtype)) for a in arrays]
    differentiated = [i for i, a in enumerate(arrays) if a.differentiated]

    def forward(*leaves: Any) -> list[Any]:
        supply = iter(leaves)
        filled = [leaf.value if isinstance(leaf, Static) else next(supply) for leaf in signature.leaves]
        args, kwargs = jax.tree_util.tree_unflatten(signature.tree, filled)
        return jax.tree_util.tree_leaves(reference(*args, **kwargs))

    def program(*inputs: Any) -> list[Any]:
        leaves, vectors = list(inputs[: len(structs)]), inputs[len(structs) :]

        def of_differentiated(*primals: Any) -> list[Any]:
            full = list(leaves)
            for i, primal in zip(differentiated, primals, strict=True):
                full[i] = primal
            return forward(*full)

        primals = [leaves[i] for i in differentiated]
        if mode == "forward":
            values, tangents = jax.jvp(of_differentiated, primals, list(vectors))
            return [*values, *tangents]
        values, pullback = jax.vjp(of_differentiated, *primals)
        return [*values, *pullback([c.astype(v.dtype) for c, v in zip(vectors, values, strict=True)])]

    with jax.enable_x64(True):
        try:
            out = jax.eval_shape(forward, *structs)
            shaped = [structs[i] for i in differentiated] if mode == "forward" else out
            vectors = [struct(v.shape, np.float64) for v in shaped]
            closed = jax.make_jaxpr(program)(*structs, *vectors)
        except Exception as error:
            return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"
    return _Program(closed, len(out), tuple(names))
