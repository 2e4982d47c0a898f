"""The ball oracle: a rigorous enclosure of what a program of JAX's autodiff computes in exact arithmetic.

The steps of a `gradcheck.oracles.program.plan.Plan` are evaluated in ball arithmetic (python-flint's ``arb``), where
every number carries a bound of all rounding on the way to it. Comparisons are decided by one run at the inputs as
they are, in as many bits as it takes, and replayed in every other run, so that all runs follow one path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.oracles.balls.choices import CHOICES
from gradcheck.oracles.balls.compare import Choice, Undecided
from gradcheck.oracles.balls.functions import functions
from gradcheck.oracles.balls.moves import MOVES
from gradcheck.oracles.balls.values import (
    Array,
    Unenclosable,
    exact,
    literal,
    precision,
    radii,
    require_flint,
    rounded,
    to_floats,
)
from gradcheck.oracles.program.plan import Plan, Step

__all__ = ["Balls", "Enclosure", "Unenclosable", "enclose", "radius"]

# Bits tried in turn until all comparisons are decided and the enclosure is tight. The first costs hardly more than
# 53; the last tells numbers apart that agree in 300 decimal digits, and what still coincides is equal.
_LADDER = (128, 256, 512, 1024, 2048)
# An enclosure is tight when its radius is at most 2^-60 of the entry, or, for an entry that cancels (to zero, perhaps),
# 2^-60 of what float64 rounds off the summands it is made of, or the least number of float64: no rule can be asked
# for more.
_TIGHT = 2.0**-60
_UNIT = 2.0**-53
_LEAST = 2.0**-1074

Bound = Choice | Callable[..., Any] | None


@dataclass(frozen=True, eq=False)
class Enclosure:
    """The truth, per output of a plan: the exact value is within ``value ± error``.

    Parameters
    ----------
    value : tuple of float64 arrays
        Midpoints, correctly rounded.
    error : tuple of float64 arrays
        Upper bounds, the rounding of the midpoint included; infinite or NaN where the value is unknown.
    bits : int
        The precision that it took.
    """

    value: tuple[Array, ...]
    error: tuple[Array, ...]
    bits: int


@dataclass(frozen=True, eq=False)
class _Run:
    """What one evaluation gave: balls per output, and what each comparing step (by its place) chose."""

    outputs: tuple[Array, ...]
    choices: dict[int, Any]
    bits: int


class Balls:
    """A plan at a point, in ball arithmetic; everything is computed when asked for, comparisons only once.

    Parameters
    ----------
    plan : Plan
        The program.
    inputs : sequence of array
        What the plan takes: every array leaf of the arguments, then one cotangent per output of the reference.

    Raises
    ------
    Unenclosable
        If python-flint is missing or balls lack a primitive, which is named.
    """

    def __init__(self, plan: Plan, inputs: Sequence[Array]) -> None:
        require_flint()
        self.plan = plan
        self.inputs = [np.asarray(x) for x in inputs]
        self._bound = [_bind(step, plan) for step in plan.steps]

    @cached_property
    def _exact_constants(self) -> list[tuple[int, Array]]:
        return [(slot, _each(exact, constant)) for slot, constant in self.plan.constants]

    @cached_property
    def _exact_inputs(self) -> list[Array]:
        return [_each(exact, x) for x in self.inputs]

    @cached_property
    def _decided(self) -> _Run:
        """The first run in which all comparisons came out."""
        for bits in _LADDER[:-1]:
            try:
                return self._run(self._exact_inputs, self._exact_constants, bits)
            except Undecided:
                continue
        return self._run(self._exact_inputs, self._exact_constants, _LADDER[-1], final=True)

    def truth(self, bits: int | None = None) -> Enclosure:
        """Enclose the outputs at exactly these inputs.

        Parameters
        ----------
        bits : int, optional
            Work with so many bits. By default as many, from 128 to 2048, as it takes until every entry is known and
            its radius is at most 2^-60 of the entry or of float64's round-off in its summands, or 2^-1074.
        """
        if bits is not None:
            return _enclosure(self._again(bits))
        return self._tightest

    @cached_property
    def _tightest(self) -> Enclosure:
        run = self._decided
        for bits in (*(b for b in _LADDER if b > run.bits), None):
            found = _enclosure(run)
            if bits is None or self._tight(run, found):
                break
            run = self._again(bits)
        return found

    def radius(self, unit_bits: int) -> tuple[Array, ...]:
        """Bound how far the same program may be off, per output, in a precision of ``unit_bits`` (53, 24, 11, 8).

        Inputs and the rounded numbers in the program are balls of half an ulp, each operation rounds to that
        precision, and comparisons come out as they did in exact arithmetic. Infinite where a ball blew up.
        """
        inputs = [_each(lambda v: rounded(v, unit_bits), x) for x in self.inputs]
        constants = [(slot, _each(lambda v: literal(v, unit_bits), c)) for slot, c in self.plan.constants]
        run = self._run(inputs, constants, unit_bits, replayed=self._decided.choices)
        return tuple(radii(x) if x.dtype == object else np.zeros(x.shape) for x in run.outputs)

    def at(self, inputs: Sequence[Array], bits: int) -> tuple[Array, ...]:
        """Give the outputs as balls, at other inputs (floats, or balls), with comparisons as at this point."""
        moved = [_each(exact, np.asarray(x)) for x in inputs]
        return self._run(moved, self._exact_constants, bits, replayed=self._decided.choices).outputs

    def _again(self, bits: int) -> _Run:
        if bits == self._decided.bits:
            return self._decided
        return self._run(self._exact_inputs, self._exact_constants, bits, replayed=self._decided.choices)

    @cached_property
    def _magnitudes(self) -> tuple[Array, ...]:
        return self.plan.magnitudes(self.plan.trace([_wide(x) for x in self.inputs]))

    def _tight(self, run: _Run, found: Enclosure) -> bool:
        if not all(np.isfinite(error).all() for error in found.error):  # a divisor that may be 0 for want of bits
            return False
        for k, (balls, value) in enumerate(zip(run.outputs, found.value, strict=True)):
            spread = radii(balls) if balls.dtype == object else np.zeros(balls.shape)
            wide = spread > np.maximum(_TIGHT * np.abs(value), _LEAST)
            if wide.any() and np.any(spread[wide] > _TIGHT * _UNIT * self._magnitudes[k][wide]):
                return False
        return True

    def _run(
        self,
        inputs: Sequence[Array],
        constants: Sequence[tuple[int, Array]],
        bits: int,
        *,
        replayed: dict[int, Any] | None = None,
        final: bool = False,
    ) -> _Run:
        values: list[Any] = [None] * self.plan.size
        values[: len(inputs)] = inputs
        for slot, constant in constants:
            values[slot] = constant
        chosen = {} if replayed is None else replayed
        with precision(bits), np.errstate(all="ignore"):
            for place, (step, bound) in enumerate(zip(self.plan.steps, self._bound, strict=True)):
                operands = [values[i] for i in step.reads]
                if isinstance(bound, Choice) and any(x.dtype == object for x in operands):
                    if replayed is None:
                        chosen[place] = bound.decide(final, *operands)
                    result = bound.replay(chosen[place], *operands)
                else:
                    result = _apply(step, bound, operands)
                for slot, part in zip(step.writes, (result,) if len(step.writes) == 1 else result, strict=True):
                    values[slot] = _settled(part)
            return _Run(tuple(values[i] for i in self.plan.outputs), chosen, bits)


def enclose(plan: Plan, inputs: Sequence[Array], *, bits: int | None = None) -> Enclosure:
    """Enclose the outputs of a plan at exactly these inputs; see `Balls.truth`.

    Raises
    ------
    Unenclosable
        If python-flint is missing or balls lack a primitive, which is named.

    Examples
    --------
    The square of the float64 nearest to 0.1, and twice that float64:

    >>> import jax
    >>> from gradcheck.oracles.program.jaxpr import Leaf, Signature, plan
    >>> of_one_number = jax.tree_util.tree_structure(((0,), {}))
    >>> square = plan(lambda x: x * x, Signature(of_one_number, (Leaf((), "float64", True),)))
    >>> found = enclose(square, [np.array(0.1), np.array(1.0)])
    >>> float(found.value[0]), float(found.value[1])
    (0.010000000000000002, 0.2)
    >>> bool(found.error[0] < 1e-18)
    True
    """
    return Balls(plan, inputs).truth(bits)


def radius(plan: Plan, inputs: Sequence[Array], unit_bits: int) -> tuple[Array, ...]:
    """Bound how far a plan may be off in a precision of ``unit_bits``; see `Balls.radius`.

    Raises
    ------
    Unenclosable
        If python-flint is missing or balls lack a primitive, which is named.
    """
    return Balls(plan, inputs).radius(unit_bits)


def _bind(step: Step, plan: Plan) -> Bound:
    params = step.params
    if step.name == "bitcast_convert_type":
        params = {**params, "sign_only": _is_for_the_sign(step, plan)}
    for table in (CHOICES, functions(), MOVES):
        if step.name in table:
            return table[step.name](params)
    return None


def _is_for_the_sign(step: Step, plan: Plan) -> bool:
    """Whether all that becomes of a cast to bits is to be shifted until the sign is left, as signbit does."""
    constants = dict(plan.constants)
    last = 8 * np.dtype(step.params["new_dtype"]).itemsize - 1
    readers = [reader for reader in plan.steps if step.writes[0] in reader.reads]
    return all(r.name.startswith("shift_right") and np.all(constants.get(r.reads[1], 0) == last) for r in readers)


def _apply(step: Step, bound: Bound, operands: Sequence[Array]) -> Any:
    if all(x.dtype != object for x in operands):  # whole numbers and Booleans are NumPy's
        return step.operation(*operands)
    if bound is None or isinstance(bound, Choice):
        raise Unenclosable(f"ball arithmetic lacks the primitive {step.name!r}")
    try:
        return bound(*operands)
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise Unenclosable(f"ball arithmetic cannot evaluate {step.name!r} here: {error}") from error


def _settled(part: Any) -> Array:
    """Make an array of a result: of balls where it holds floats."""
    array = part if isinstance(part, np.ndarray) else np.asarray(part)
    return array if array.dtype == object else _each(exact, array)


def _each(convert: Callable[[Array], Array], x: Array) -> Array:
    """Convert floats to balls and leave whole numbers and Booleans."""
    if x.dtype.kind in "biu" or x.dtype == object:
        return x
    if x.dtype.kind == "c":
        raise Unenclosable("ball arithmetic lacks complex numbers, which the program takes")
    return convert(x)


def _wide(x: Array) -> Array:
    return x if x.dtype.kind in "biu" else np.asarray(x, dtype=np.float64)


def _enclosure(run: _Run) -> Enclosure:
    pairs = [to_floats(x) if x.dtype == object else (x.astype(np.float64), np.zeros(x.shape)) for x in run.outputs]
    return Enclosure(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), run.bits)
