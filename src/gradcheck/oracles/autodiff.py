"""The autodiff oracle: JAX differentiates a reference, NumPy evaluates what came out, in float64.

The program is JAX's own; only its arithmetic is ours (see `gradcheck.oracles.program.jaxpr` for why). No configuration
of JAX is changed: 64-bit types are enabled in a context around each trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck.domain import Domain
from gradcheck.oracles.program import jaxpr
from gradcheck.oracles.program.lean import lean
from gradcheck.rule import is_float
from gradcheck.tree import Array, Flat, in_float64

__all__ = ["Autodiff", "Moved", "differentiate"]

# Runs of the perturbed program. Eight give the largest of eight uniform draws per rounding; the factor 32 in the
# allowance covers what eight runs may miss.
_RUNS = 8
# A few roundings lie between the inputs and a typical comparison.
_REACH = 4.0
# Quartered so often, a length is 2^-52 of what it was: below that, no difference has a digit.
_SHORTENINGS = 26
_EXPONENTIAL = frozenset({"exp", "exp2", "expm1", "log", "log1p", "log2", "logistic", "pow", "tanh"})


class Moved(Exception):
    """The arguments were written over since a large program was evaluated at them."""


@dataclass(frozen=True, eq=False)
class Autodiff:
    """What JAX's derivative of one reference says at one point.

    ``value`` holds the reference's own value, leaf by leaf, ``gradient`` one float64 array per differentiated leaf.
    ``magnitude`` and ``spread`` (computed when asked for, since most checks never need them) have the shapes of
    ``value`` followed by ``gradient``: the size of the summands of each entry, and how much each entry moves per
    unit of relative rounding error anywhere in the program or its inputs.
    """

    label: str
    value: tuple[Array, ...]
    gradient: tuple[Array, ...]
    plan: jaxpr.Plan
    inputs: tuple[Array, ...]
    reference: Callable[..., Any]
    signature: jaxpr.Signature
    domains: tuple[Domain | None, ...]
    _trace: list[Array] | None = field(repr=False)  # None where it would outweigh all else
    _magnitude: tuple[Array, ...] | None = field(repr=False)  # known where there is no trace to make it of

    @cached_property
    def magnitude(self) -> tuple[Array, ...]:
        """Size of the summands that each entry is made of."""
        return self.plan.magnitudes(self.trace) if self._magnitude is None else self._magnitude

    @property
    def trace(self) -> list[Array]:
        """Every value on the way; of a large program computed again each time.

        Raises
        ------
        Moved
            If the arguments are no longer what they were, since somebody has written over them.
        """
        if self._trace is not None:
            return self._trace
        trace = self.plan.trace(self.inputs)
        pairs = zip(self.plan.results(trace), (*self.value, *self.gradient), strict=True)
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            raise Moved
        return trace

    @property
    def exponential(self) -> bool:
        """Whether the program takes an exponential or a logarithm."""
        return not _EXPONENTIAL.isdisjoint(step.name for step in self.plan.steps)

    @cached_property
    def spread(self) -> tuple[Array, ...]:
        """Change of each entry per unit of relative perturbation."""
        return self.plan.spread(self.inputs, self.trace, runs=_RUNS, seed=0)

    def at(self, flat: Flat) -> tuple[Array, ...]:
        """Give the gradient at another point of the same shapes."""
        return self.plan.values(self._inputs_at(flat))[len(self.value) :]

    def magnitude_at(self, flat: Flat) -> tuple[Array, ...]:
        """Give the size of the summands of the gradient at another point of the same shapes."""
        return self.plan.magnitudes(self.plan.trace(self._inputs_at(flat)))[len(self.value) :]

    def _inputs_at(self, flat: Flat) -> tuple[Array, ...]:
        arrays = [np.asarray(x) for x in in_float64(flat.leaves) if _is_array(x)]
        return (*arrays, *self.inputs[len(arrays) :])

    def sides(self, unit: float, runs: int) -> list[tuple[Array, ...]]:
        """Give the gradients across those comparisons that a precision with this round-off may decide otherwise."""
        found = self.plan.sides(self.inputs, self.trace, unit=_REACH * unit, runs=runs, seed=0, keep=self._kept)
        return [results[len(self.value) :] for results in found]

    def sides_at(self, slot: int, entry: int, unit: float) -> list[tuple[Array, ...]]:
        """Give the gradients across the comparisons that one entry (by its flat index) of one leaf decides alone."""
        found = self.plan.sides_at(
            self.inputs, self.trace, slot=self._slots[slot], entry=entry, unit=_REACH * unit, keep=self._kept
        )
        return [results[len(self.value) :] for results in found]

    def _kept(self, inputs: Sequence[Array]) -> list[Array]:
        """Take moved inputs back into their domains."""
        kept = list(inputs)
        for slot, domain in zip(self._slots, self.domains, strict=True):
            if domain is not None:
                kept[slot] = domain.kept(self.inputs[slot], inputs[slot])
        return kept

    def piece(self, direction: Sequence[Array], length: float) -> float:
        """Shorten a length along a direction until, either way, no comparison comes out otherwise than at the point."""
        for _ in range(_SHORTENINGS):
            if all(self.plan.same_piece(self._moved(direction, t), self.trace) for t in (length, -length)):
                break
            length /= 4.0
        return length

    def _moved(self, direction: Sequence[Array], t: float) -> list[Array]:
        moved = list(self.inputs)
        for slot, along in zip(self._slots, direction, strict=True):
            moved[slot] = self.inputs[slot] + t * along
        return moved

    @property
    def _slots(self) -> list[int]:
        """Where the differentiated leaves are among the inputs of the program."""
        arrays = (leaf for leaf in self.signature.leaves if isinstance(leaf, jaxpr.Leaf))
        return [position for position, leaf in enumerate(arrays) if leaf.differentiated]

    def tangent(self, directions: Sequence[Array]) -> float:
        """Give <cotangent, J direction> by JAX's forward mode, the other half of a dot-product test.

        Raises
        ------
        jaxpr.Untraceable
            If the reference has no forward mode.
        """
        plan = jaxpr.plan(self.reference, self.signature, mode="forward")
        n = plan.n_values
        # directions may be whole numbers of a byte, sums of which would wrap around
        tangents = (np.asarray(v, dtype=np.float64) for v in directions)
        outputs = plan.values((*self.inputs[:-n], *tangents))
        return float(sum(np.vdot(c, t) for c, t in zip(self.inputs[-n:], outputs[n:], strict=True)))


def differentiate(label: str, reference: Callable[..., Any], flat: Flat, cotangents: Sequence[Array]) -> Autodiff:
    """Differentiate ``reference`` at a point.

    Parameters
    ----------
    label : str
        What reports call the reference.
    reference : callable
        Traceable by JAX; takes the same arguments as the rule.
    flat : Flat
        The point's arguments.
    cotangents : sequence of array
        One per value leaf of the reference.

    Raises
    ------
    jaxpr.Untraceable
        With the reason, if JAX cannot trace the reference or the interpreter lacks one of its primitives.
    """
    wrt = {leaf.index for leaf in flat.differentiated}
    types: list[jaxpr.Static | jaxpr.Leaf] = []
    arrays: list[Array] = []
    for index, leaf in enumerate(in_float64(flat.leaves)):
        if _is_array(leaf):
            # copied, so that whoever asks later asks about the point as it was
            array = np.asarray(leaf) if flat.heavy else np.array(leaf)
            if array.dtype.kind not in "biufc" and not is_float(array.dtype):
                raise jaxpr.Untraceable(f"a data argument is an array of {array.dtype}, for which JAX has no type")
            types.append(jaxpr.Leaf(array.shape, array.dtype.name, index in wrt))
            arrays.append(array)
        else:
            types.append(jaxpr.Static(_hashable(leaf)))
    signature = jaxpr.Signature(flat.tree, tuple(types))
    plan = jaxpr.plan(reference, signature)
    inputs = (*arrays, *(np.asarray(c, dtype=np.float64) for c in cotangents))
    if len(cotangents) != plan.n_values:
        raise jaxpr.Untraceable(f"it returns {plan.n_values} arrays where the forward returns {len(cotangents)}")
    try:
        if flat.heavy:
            trace, (outputs, sizes) = None, lean(plan, inputs)
            # a gradient may be an argument itself, which is not ours to keep
            outputs = tuple(x.copy() if any(np.may_share_memory(x, y) for y in inputs) else x for x in outputs)
        else:
            trace, sizes = plan.trace(inputs), None
            outputs = plan.results(trace)
    except (ValueError, IndexError, TypeError) as error:  # its value has another shape than the cotangent's
        raise jaxpr.Untraceable(f"its program does not fit these inputs ({error})") from error
    n, domains = plan.n_values, tuple(leaf.domain for leaf in flat.differentiated)
    return Autodiff(label, outputs[:n], outputs[n:], plan, inputs, reference, signature, domains, trace, sizes)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (np.ndarray, np.generic, float))


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError as error:
        raise jaxpr.Untraceable(
            f"a data argument of type {type(value).__name__} is neither array nor hashable"
        ) from error
    return value
