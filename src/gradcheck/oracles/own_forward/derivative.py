"""The exact oracle for NumPy: the forward itself, run on numbers that are balls and know their derivative.

Most NumPy code has no counterpart that JAX could differentiate: it assigns, works in place, loops over rows. But
NumPy runs the same code on arrays of objects, so the forward is handed numbers of
`gradcheck.oracles.own_forward.number` for its inputs. One run in ball arithmetic and one pass back give the gradient
of the function that the code describes, at exactly these inputs, with a rigorous error (Griewank and Walther,
*Evaluating Derivatives*, chapter 3, for the pass; Johansson's arb for the balls). Numbers that the forward writes
down (``0.1``), or computes from such before they meet an input (``np.sqrt(2 / np.pi)``), are taken as the float64
numbers they are, and two that 512 bits cannot tell apart as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.errors import MissingExtra
from gradcheck.extras import import_extra
from gradcheck.oracles.balls.values import precision, radii, to_floats
from gradcheck.oracles.own_forward.program import POINT_BITS, Program, Run, enclosed, perturbed, points, stirred
from gradcheck.oracles.own_forward.tape import MOST_OPERATIONS, Answer, MoreBits, Unserved
from gradcheck.rule import is_float
from gradcheck.tree import Array, Flat

if TYPE_CHECKING:
    from flint import arb

__all__ = ["OwnDerivative", "Unserved", "differentiate"]

# An elementwise loss of this many entries takes 0.3 s; a run takes some 5 us per operation.
MOST_ENTRIES = 4_096
# Twice the bits where they do not suffice: 512 resolve a difference of 1 part in 10^150.
_BITS = (POINT_BITS, 2 * POINT_BITS, 4 * POINT_BITS)
# An entry is known well enough where its radius is below 2^-60 of it (2^-7 of the rounding to float64), or below
# 2^-100 of the summands it is the sum of: no allowance is smaller than 2^-52 of those.
_RELATIVE = 60
_OF_SUMMANDS = 2.0**-100
# As in the perturbed programs of JAX: above the rounding of float64, with a negligible square; eight runs.
_PERTURBATION = 2.0**-40
_RUNS = 8
# NumPy computes a power to an ulp without rounding an exponent, so it is none of these.
_EXPONENTIAL = frozenset({"exp", "exp2", "expit", "expm1", "log", "log10", "log1p", "log2", "tanh"})


@dataclass(frozen=True, eq=False)
class OwnDerivative:
    """The derivative of a NumPy forward at one point, and what an allowance is made of.

    Parameters
    ----------
    value : tuple of array of float64
        The forward's value, leaf by leaf.
    gradient, error : tuple of array of float64
        Per differentiated leaf: the gradient's entries, and how far each may be from the truth at most. An error is
        NaN or infinite where the gradient is not finite or could not be enclosed.
    magnitude : tuple of array of float64
        The size of the summands of each entry: the pullback with absolute values.
    bits : int
        The working precision that settled it.
    answers : tuple
        How the forward's comparisons came out, in their order; all further runs follow them.
    exponential : bool
        Whether the forward takes an exponential or a logarithm.
    """

    value: tuple[Array, ...]
    gradient: tuple[Array, ...]
    error: tuple[Array, ...]
    magnitude: tuple[Array, ...]
    bits: int
    answers: tuple[Answer, ...]
    exponential: bool
    program: Program

    def at(self, flat: Flat) -> tuple[Array, ...]:
        """Give the gradient at another point of the same shapes; raises `Unserved` where it cannot."""
        return differentiate(self.program.forward, flat, self.program.cotangents).gradient

    def magnitude_at(self, flat: Flat) -> tuple[Array, ...]:
        """Give the size of the summands of the gradient at another point of the same shapes."""
        return differentiate(self.program.forward, flat, self.program.cotangents).magnitude

    def radius(self, bits: int) -> tuple[Array, ...]:
        """Give the radius of each entry computed with ``bits`` bits from inputs half an ulp wide.

        Infinite where a ball came to hold a pole or everything. 53, 24, 11 and 8 bits are those of float64, float32,
        float16 and bfloat16.
        """
        return tuple(map(radii, self.program.gradient(enclosed(bits), self.answers)))

    @cached_property
    def spread(self) -> tuple[Array, ...]:
        """Change of each entry per unit of relative perturbation, the largest of eight runs."""
        return self.change(_PERTURBATION, _RUNS)

    def change(self, size: float, runs: int) -> tuple[Array, ...]:
        """Perturb every input and every result on the way by up to ``size`` of it, always by the same share.

        Gives the largest change of each entry over ``runs`` runs, divided by ``size``: nearly the same for every size
        that is small enough for the program to be linear.
        """
        rng = np.random.default_rng(0)
        plain = self.program.gradient(points(POINT_BITS), self.answers)
        worst = [np.zeros(array.shape) for array in self.gradient]
        for _ in range(runs):
            moved = self.program.gradient(perturbed(rng, size), self.answers)
            with precision(POINT_BITS):
                change = [to_floats(abs(a - b) / size)[0] for a, b in zip(moved, plain, strict=True)]
            worst = [np.maximum(w, c) for w, c in zip(worst, change, strict=True)]  # NaN stays NaN
        return tuple(worst)

    def sides(self, unit: float, runs: int) -> list[tuple[Array, ...]]:
        """Give the gradients across those comparisons that come out otherwise when all is perturbed by ``unit``.

        The perturbed run only decides: each gradient is that at the inputs as they are, along its answers, so that
        they fit together and no other entry changes. Where the forward refuses what it is perturbed to, or what follows
        from those answers, there is no other side.
        """
        rng = np.random.default_rng(0)
        found: dict[tuple[Answer, ...], tuple[Array, ...]] = {}
        for _ in range(runs):
            with suppress(Unserved):
                with precision(POINT_BITS):
                    answers = tuple(self.program.run(stirred(rng, unit)).tape.answers)
                if answers != self.answers and answers not in found:
                    gradient = self.program.gradient(points(POINT_BITS), answers)
                    found[answers] = tuple(to_floats(array)[0] for array in gradient)
        return list(found.values())


def differentiate(forward: Callable[..., Any], flat: Flat, cotangents: Sequence[Array]) -> OwnDerivative:
    """Differentiate a NumPy forward at a point, exactly.

    Parameters
    ----------
    forward : callable
        The plain function of the rule. It is called several times, on copies.
    flat : Flat
        The point's arguments. Floating-point arrays are taken in float64, others (labels, masks) as they are.
    cotangents : sequence of array
        One per value leaf, of its shape.

    Raises
    ------
    Unserved
        If that cannot be done: which line of the forward stands in the way, or what is missing or too large.
    """
    _require_size(flat)
    try:
        import_extra("flint", "the exact derivative of a NumPy forward", "python-flint", "exact")
    except MissingExtra as error:
        raise Unserved(str(error)) from error
    vectors = tuple(np.asarray(c, dtype=np.float64) for c in cotangents)
    program = Program(forward, flat, vectors)
    for bits in _BITS:
        last = bits == _BITS[-1]
        with precision(bits):
            try:
                run = program.run(points(bits, patient=not last))
            except MoreBits:
                continue
            gradient = run.pull_back(vectors, program.inputs)
            sizes = run.pull_back(vectors, program.inputs, sizes=True)
            if last or all(map(_is_settled, gradient, sizes)):
                break
    return _read_off(program, run, gradient, sizes, bits)


def _require_size(flat: Flat) -> None:
    entries = sum(leaf.array.size for leaf in flat.differentiated)
    if entries > MOST_ENTRIES:
        raise Unserved(f"{entries:,} entries are differentiated, where exact numbers serve {MOST_ENTRIES:,}")
    data = sum(leaf.size for leaf in flat.leaves if isinstance(leaf, np.ndarray) and is_float(leaf.dtype)) - entries
    if data > MOST_OPERATIONS:
        raise Unserved(f"the data hold {data:,} floating-point numbers, where exact numbers serve {MOST_OPERATIONS:,}")


def _is_settled(entry: arb, size: arb) -> bool:
    return entry.rel_accuracy_bits() >= _RELATIVE or entry.rad() <= size.mid() * _OF_SUMMANDS


def _read_off(program: Program, run: Run, gradient: list[arb], sizes: list[arb], bits: int) -> OwnDerivative:
    pairs = [to_floats(array) for array in program.shaped(gradient)]
    return OwnDerivative(
        value=tuple(to_floats(array)[0] for array in run.values),
        gradient=tuple(middle for middle, _ in pairs),
        error=tuple(error for _, error in pairs),
        magnitude=tuple(to_floats(array)[0] for array in program.shaped(sizes)),
        bits=bits,
        answers=tuple(run.tape.answers),
        exponential=not _EXPONENTIAL.isdisjoint(run.tape.functions),
        program=program,
    )
