"""From a traced program to a plan: sizes put in, calls inlined, loops unrolled, dead equations dropped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck.oracles.program.control import CONTROL
from gradcheck.oracles.program.lowering import LOWERED
from gradcheck.oracles.program.operation import Array, Operation, Untraceable
from gradcheck.oracles.program.plan import Plan, Step
from gradcheck.oracles.program.primitives import BINDERS
from gradcheck.oracles.program.replacements import replacement

__all__ = ["Binder", "Outline", "outline"]

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
# Each step costs NumPy a few microseconds and balls a hundred: with so many, one run takes 0.2 s and 3 s.
_MOST_STEPS = 2**15


@dataclass(frozen=True, eq=False)
class Outline:
    """A program flattened once for all sizes, where nothing but parameters depends on them.

    ``plan`` is the program at some sizes, ``symbolic`` holds, per step, those parameters that are made of symbols.
    """

    plan: Plan
    symbolic: tuple[Mapping[str, Any], ...]

    def at(self, sizes: Mapping[str, int]) -> Plan:
        """Put in sizes."""
        concrete = Binder(sizes).concrete
        steps = []
        for step, symbolic in zip(self.plan.steps, self.symbolic, strict=True):
            if symbolic:
                params = {**step.params, **{key: concrete(value) for key, value in symbolic.items()}}
                step = Step(_bound(step.name, params), step.name, step.reads, step.writes, params)
            steps.append(step)
        return replace(self.plan, steps=tuple(steps), elsewhere=self.plan)


def outline(closed: Any, n_values: int, symbols: Iterable[str]) -> Outline | None:
    """Flatten a program once for all sizes; None where its very equations depend on them: loops, rewritten parts."""
    names = frozenset(symbols)
    binder = Binder(dict.fromkeys(names, 2))
    plan = binder.bind(closed, n_values)
    if binder.sized:
        return None
    symbolic = (binder.symbolic[step.writes[0]] for step in plan.steps)
    return Outline(plan, tuple({key: _by_name(value, names) for key, value in part.items()} for part in symbolic))


@dataclass(frozen=True)
class _Size:
    """A size that is a symbol and no more: JAX takes twenty times as long to evaluate one as a dict to look it up."""

    name: str


def _by_name(value: Any, names: Collection[str]) -> Any:
    if type(value) in (tuple, list):
        return tuple(_by_name(v, names) for v in value)
    return _Size(str(value)) if str(value) in names else value


def _has_symbols(value: Any) -> bool:
    if type(value) in (tuple, list):
        return any(map(_has_symbols, value))
    return hasattr(value, "_evaluate")


class Binder:
    """Flattens one jaxpr into the steps of a plan.

    With ``opaque`` set, the plan is the operation of a single step of another plan, and may hold what only NumPy runs.
    Afterwards ``sized`` says whether other sizes would give other steps, and ``symbolic`` what parameters of each step
    (by the slot of its first result) hold symbols.
    """

    def __init__(self, sizes: Mapping[str, int], *, opaque: bool = False) -> None:
        self.sizes = sizes
        self.opaque = opaque
        self.sized = False
        self.symbolic: dict[int, Mapping[str, Any]] = {}
        self._count = 0
        self._steps: list[Step] = []
        self._constants: dict[int, Array] = {}
        self._refused: dict[int, str] = {}

    def bind(self, closed: Any, n_values: int = 0, fixed: Mapping[int, Array] | None = None) -> Plan:
        """Make a plan of a closed jaxpr; inputs whose places are in ``fixed`` become constants.

        Raises
        ------
        Untraceable
            If what the outputs are made of has a primitive that the interpreter lacks.
        """
        fixed = fixed or {}
        variables = closed.jaxpr.invars
        free = {i: self._new() for i in range(len(variables)) if i not in fixed}
        slots = {var: free[i] if i in free else self.constant(fixed[i]) for i, var in enumerate(variables)}
        slots |= self._closed_over(closed)
        outputs = tuple(self._inline(closed.jaxpr, slots))
        steps = self._alive(outputs)
        read = {*outputs, *(slot for step in steps for slot in step.reads)}
        constants = tuple((slot, value) for slot, value in self._constants.items() if slot in read)
        return Plan(steps, constants, self._count, outputs, n_values)

    def subplan(self, closed: Any, fixed: Mapping[int, Array] | None = None) -> Plan:
        """Make a plan that is to be the operation of one step."""
        return Binder(self.sizes, opaque=True).bind(closed, fixed=fixed)

    def constant(self, value: Any) -> int:
        """Give a slot to a constant."""
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise Untraceable("its program has complex numbers, which the interpreter lacks")
        if array.dtype.names:  # float0, JAX's tangent of whole numbers
            array = np.zeros(array.shape, dtype=bool)
        slot = self._new()
        self._constants[slot] = array.astype(np.float64) if array.dtype.kind not in "biu" else array
        return slot

    def known(self, slot: int) -> Array | None:
        """Give the value of a slot if it is a constant."""
        return self._constants.get(slot)

    def concrete(self, value: Any) -> Any:
        """Put numbers for the symbols in a parameter."""
        if type(value) in (tuple, list):
            return tuple([self.concrete(v) for v in value])
        if type(value) is _Size:
            return self.sizes[value.name]
        if hasattr(value, "_evaluate"):  # a size made of symbols; JAX has no public way to evaluate one
            return int(value._evaluate(self.sizes))  # noqa: SLF001
        return value

    def shape(self, var: Any) -> tuple[int, ...]:
        """Give the shape of a variable, in numbers."""
        return tuple(self.concrete(size) for size in var.aval.shape)

    def emit(
        self,
        name: str,
        params: Mapping[str, Any],
        reads: Sequence[int],
        count: int,
        *,
        operation: Operation | None = None,
    ) -> list[int]:
        """Append one step, and give the slots of its ``count`` results.

        A primitive that is lacking is refused in `_alive`, and only if the result needs it.
        """
        if len(self._steps) == _MOST_STEPS:
            raise Untraceable(f"its loops unroll to more than {_MOST_STEPS} equations")
        writes = [self._new() for _ in range(count)]
        try:
            operation = operation or _bound(name, params)
        except Untraceable as reason:
            operation = _lacking
            for slot in writes:
                self.refuse(slot, str(reason))
        self._steps.append(Step(operation, name, tuple(reads), tuple(writes), params))
        return writes

    def refuse(self, slot: int, reason: str) -> None:
        """Remember why a value cannot be had, for the case that it is needed."""
        self._refused[slot] = reason

    def opened(self, jaxpr: Any) -> Callable[[Sequence[int]], list[int]]:
        """Make a function of slots of an inner jaxpr; what it closes over becomes constants once."""
        inner = getattr(jaxpr, "jaxpr", jaxpr)
        constants = self._closed_over(jaxpr)
        return lambda reads: self._inline(inner, constants | dict(zip(inner.invars, reads, strict=True)))

    def _closed_over(self, jaxpr: Any) -> dict[Any, int]:
        if not hasattr(jaxpr, "consts"):
            return {}
        return {var: self.constant(c) for var, c in zip(jaxpr.jaxpr.constvars, jaxpr.consts, strict=True)}

    def _new(self) -> int:
        self._count += 1
        return self._count - 1

    def _read(self, atom: Any, slots: Mapping[Any, int]) -> int:
        return self.constant(atom.val) if hasattr(atom, "val") else slots[atom]

    def _inline(self, jaxpr: Any, slots: dict[Any, int]) -> list[int]:
        for equation in jaxpr.eqns:
            reads = [self._read(atom, slots) for atom in equation.invars]
            slots.update(zip(equation.outvars, self._equation(equation, reads), strict=True))
        return [self._read(atom, slots) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, reads: list[int]) -> list[int]:
        name = equation.primitive.name
        if name in CONTROL:
            self.sized = True
            return CONTROL[name](self, equation, reads)
        if name in _INLINED:
            inner = equation.params[_INLINED[name]]
            replaced = replacement(inner) if name == "custom_jvp_call" else None
            return self._replaced(replaced, equation, reads) if replaced else self.opened(inner)(reads)
        params = {key: self.concrete(value) for key, value in equation.params.items()}
        if name in LOWERED:
            return self._lowered(name, params, equation, reads)
        writes = self.emit(name, params, reads, len(equation.outvars))
        self.symbolic[writes[0]] = {key: value for key, value in equation.params.items() if _has_symbols(value)}
        return writes

    def _lowered(self, name: str, params: Mapping[str, Any], equation: Any, reads: list[int]) -> list[int]:
        """Put what a primitive is rewritten as in its place."""
        import jax

        self.sized = True
        struct: Any = jax.ShapeDtypeStruct
        types = [struct(self.shape(atom), atom.aval.dtype) for atom in equation.invars]
        with jax.enable_x64(True):
            try:
                inner = jax.make_jaxpr(LOWERED[name](params))(*types)
            except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
                about = str(error).strip().split("\n")[0]
                raise Untraceable(
                    f"its program has the primitive {name!r}, which cannot be rewritten: {about}"
                ) from error
        return self.opened(inner)(reads)

    def _replaced(self, name: str, equation: Any, reads: list[int]) -> list[int]:
        """Make one step of a call whose program only approximates the function that is meant."""
        self.sized = True
        inner = equation.params["call_jaxpr"]
        # coefficients that the program closes over come first among what it takes
        n = equation.params.get("num_consts", 0)
        if any(slot not in self._constants for slot in reads[:n]):
            return self.opened(inner)(reads)
        plan = self.subplan(inner, {i: self._constants[slot] for i, slot in enumerate(reads[:n])})
        return self.emit(name, {}, reads[n:], len(equation.outvars), operation=_as_operation(plan))

    def _alive(self, outputs: tuple[int, ...]) -> tuple[Step, ...]:
        # JAX leaves dead equations behind, among them comparisons that would be taken for ties
        needed, alive = set(outputs), []
        for step in reversed(self._steps):
            wanted = needed.intersection(step.writes)
            if wanted:
                for slot in wanted.intersection(self._refused):
                    raise Untraceable(self._refused[slot])
                needed.update(step.reads)
                alive.append(step)
        return tuple(reversed(alive))


def _bound(name: str, params: Mapping[str, Any]) -> Operation:
    if name not in BINDERS:
        raise Untraceable(f"its program has the primitive {name!r}, which the interpreter lacks")
    return BINDERS[name](params)


def _lacking(*_: Any) -> None:
    """Stand for a primitive that this interpreter lacks."""


def _as_operation(plan: Plan) -> Operation:
    def operation(*operands: Array) -> Any:
        results = plan.values(operands)
        return results if len(results) > 1 else results[0]

    return operation
