"""One program, many arithmetics: JAX differentiates, NumPy evaluates.

JAX turns the vector-Jacobian product of a reference into a list of primitive equations (a jaxpr). Compiling that for
every shape that Hypothesis draws would cost 0.2 s each, so it is traced once on *symbolic* sizes, bound to the sizes
at hand (about half a millisecond, remembered), and evaluated by NumPy, in the arithmetics of `gradcheck.oracles.plan`.
Where a reference cannot be traced on symbolic sizes (``len(z)``, a Python branch on a size) it is traced per shape.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from gradcheck.oracles.plan import Plan, Step
from gradcheck.oracles.primitives import BINDERS, Array

__all__ = ["Leaf", "Plan", "Signature", "Static", "Untraceable", "plan", "warm_up"]

_INLINED = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_lin": "call_jaxpr",
}


class Untraceable(Exception):
    """JAX cannot trace the reference, or its program has a primitive this interpreter lacks."""


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


def warm_up() -> None:
    """Import JAX and trace something, so that no test's clock has to pay for the first time (half a second)."""
    import jax

    tree = jax.tree_util.tree_structure(((0,), {}))
    plan(_nothing_much, Signature(tree, (Leaf((2,), "float64", True),)))


def _nothing_much(x: Any) -> Any:
    return (x * x).sum()


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
        return _Binder(sizes).bind(traced)
    except Untraceable as reason:
        return str(reason)


@dataclass(frozen=True)
class _Program:
    """A closed jaxpr, and how many values of the reference come first among its outputs."""

    closed: Any
    n_values: int


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
    return _Program(closed, len(out))


def _lacking(*_: Any) -> None:
    """Stand for a primitive that this interpreter lacks."""


class _Binder:
    """Flattens a jaxpr into steps: calls inlined, symbols replaced by sizes, dead equations dropped."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.count = 0
        self.steps: list[Step] = []
        self.constants: list[tuple[int, Array]] = []

    def bind(self, program: _Program) -> Plan:
        jaxpr = program.closed.jaxpr
        slots = {var: self._new() for var in jaxpr.invars}
        for var, constant in zip(jaxpr.constvars, program.closed.consts, strict=True):
            slots[var] = self._constant(constant)
        outputs = tuple(self._inline(jaxpr, slots))
        return Plan(self._alive(outputs), tuple(self.constants), self.count, outputs, program.n_values)

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def _constant(self, value: Any) -> int:
        slot = self._new()
        array = np.asarray(value)
        self.constants.append((slot, array.astype(np.float64) if array.dtype.kind not in "biu" else array))
        return slot

    def _read(self, atom: Any, slots: Mapping[Any, int]) -> int:
        return self._constant(atom.val) if hasattr(atom, "val") else slots[atom]

    def _inline(self, jaxpr: Any, slots: dict[Any, int]) -> list[int]:
        for equation in jaxpr.eqns:
            name, reads = equation.primitive.name, [self._read(v, slots) for v in equation.invars]
            if name in _INLINED:
                inner = equation.params[_INLINED[name]]
                inner, consts = (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, [])
                local = dict(zip(inner.invars, reads, strict=True))
                local |= {var: self._constant(c) for var, c in zip(inner.constvars, consts, strict=True)}
                slots.update(zip(equation.outvars, self._inline(inner, local), strict=True))
                continue
            writes = [self._new() for _ in equation.outvars]
            slots.update(zip(equation.outvars, writes, strict=True))
            params = {key: self._concrete(value) for key, value in equation.params.items()}
            # a primitive that is lacking is refused in `_alive`, and only if the result needs it
            operation = BINDERS[name](params) if name in BINDERS else _lacking
            self.steps.append(Step(operation, name, tuple(reads), tuple(writes), params))
        return [self._read(v, slots) for v in jaxpr.outvars]

    def _concrete(self, value: Any) -> Any:
        if type(value) in (tuple, list):
            return tuple(self._concrete(v) for v in value)
        if hasattr(value, "_evaluate"):  # a size made of symbols; JAX has no public way to evaluate one
            return int(value._evaluate(self.sizes))  # noqa: SLF001
        return value

    def _alive(self, outputs: tuple[int, ...]) -> tuple[Step, ...]:
        # JAX leaves dead equations behind, among them comparisons that would be taken for ties
        needed, alive = set(outputs), []
        for step in reversed(self.steps):
            if needed.intersection(step.writes):
                if step.name not in BINDERS:
                    raise Untraceable(f"its program has the primitive {step.name!r}, which the interpreter lacks")
                needed.update(step.reads)
                alive.append(step)
        return tuple(reversed(alive))
