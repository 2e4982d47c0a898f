"""One forward at one point, to be run on recorded numbers in several arithmetics."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.domain import Domain
from gradcheck.oracles.balls.values import as_balls, exact, literal, precision, rounded
from gradcheck.oracles.own_forward.array import Numbers
from gradcheck.oracles.own_forward.namespace import on_numbers
from gradcheck.oracles.own_forward.number import Number, ball_of, place_of
from gradcheck.oracles.own_forward.tape import Answer, Arithmetic, MoreBits, Tape, Unserved
from gradcheck.rule import is_float
from gradcheck.tree import Array, Flat, in_float64, leaves_of, with_leaves

if TYPE_CHECKING:
    from flint import arb

__all__ = ["POINT_BITS", "Program", "Run", "enclosed", "perturbed", "points", "stirred"]

# Bits of the runs whose rounding is not of interest: far more than any perturbation that is put into them.
POINT_BITS = 128
_NORMAL = float(np.finfo(np.float64).tiny)
# Whose lines are not the forward's; its own package may well be installed beside these.
_MACHINERY = frozenset({"numpy", "scipy", "flint", "jax", "jaxlib", "torch"}) | sys.stdlib_module_names


def points(bits: int, *, patient: bool = False) -> Arithmetic:
    """Compute at the inputs as they are, with a radius for what is rounded."""
    from flint import arb

    return Arithmetic(bits, exact, exact, arb, patient=patient)


def enclosed(bits: int) -> Arithmetic:
    """Compute in a precision that inputs, data and literals are rounded to as well."""

    def enter(x: Array) -> Array:
        return rounded(x, bits)

    return Arithmetic(bits, enter, enter, lambda x: literal(np.asarray(x), bits).item())


def perturbed(rng: np.random.Generator, size: float) -> Arithmetic:
    """Compute with every input and every result off by a random relative error of at most ``size``."""
    from flint import arb

    draws = _draws(rng, size)

    def jitter(ball: arb) -> arb:
        if not ball.is_finite():  # inf - inf is not a number
            return ball
        return (ball + ball * next(draws)).mid()  # in balls, since 1 + draw would be rounded to float64

    def enter(x: Array) -> Array:
        return as_balls(np.frompyfunc(jitter, 1, 1)(exact(x)))

    return Arithmetic(POINT_BITS, enter, enter, arb, jitter)


def _draws(rng: np.random.Generator, size: float) -> Iterator[float]:
    while True:  # in blocks, since one draw by itself costs as much as an operation
        yield from rng.uniform(-size, size, 1024).tolist()


def stirred(rng: np.random.Generator, size: float) -> Arithmetic:
    """Compute like `perturbed`, to see which comparisons may turn: zeros are moved as well, and data stay.

    A relative change would leave a zero, and its ties, as they are; a mask that is compared with 0 is no rounding.
    """

    def move(x: Array) -> Array:
        magnitude = np.abs(x)
        smallest = np.min(magnitude, initial=1.0, where=np.isfinite(x) & (magnitude >= _NORMAL))
        with np.errstate(all="ignore"):  # the largest number has no next one, and infinity times 0 is none
            moved = x + size * np.where(magnitude < _NORMAL, smallest, x) * rng.uniform(-1, 1, x.shape)
        return np.where(np.isfinite(moved), moved, x)

    return replace(perturbed(rng, size), enter=exact, data=exact, move=move)


@dataclass(frozen=True, eq=False)
class Run:
    """What one run came to: the balls of each value leaf, and the tape with the places of the values on it."""

    tape: Tape
    values: tuple[Array, ...]
    places: tuple[Array, ...]

    def pull_back(self, cotangents: Sequence[Array], inputs: int, *, sizes: bool = False) -> list[arb]:
        """Contract with a cotangent per value leaf: one ball per input."""
        seeds: dict[int, Any] = {}
        for places, cotangent in zip(self.places, cotangents, strict=True):
            for place, seed in zip(places.ravel(), self.tape.arithmetic.enter(cotangent).ravel(), strict=True):
                if place >= 0:
                    size = abs(seed) if sizes else seed
                    seeds[place] = seeds[place] + size if place in seeds else size
        return self.tape.pull_back(seeds, inputs, sizes=sizes)


@dataclass(frozen=True, eq=False)
class Program:
    """A forward, the point it is run at, and the cotangents that its derivative is contracted with.

    The forward is remade for each run, so that none finds what another has left behind.

    The precision of flint is the caller's to set (`gradcheck.oracles.balls.values.precision`).
    """

    forward: Callable[..., Any]
    flat: Flat
    cotangents: tuple[Array, ...]

    @property
    def inputs(self) -> int:
        """How many numbers are differentiated."""
        return sum(leaf.array.size for leaf in self.flat.differentiated)

    def run(self, arithmetic: Arithmetic, replay: Sequence[Answer] | None = None) -> Run:
        """Run the forward once.

        Raises
        ------
        MoreBits
            If the arithmetic is patient and something is not settled.
        Unserved
            If a line of the forward cannot be run so; named by file, number and text.
        """
        tape = Tape(arithmetic, replay)
        args, kwargs = self._arguments(tape)
        try:
            with np.errstate(all="ignore"):
                values = leaves_of(on_numbers(self.forward)(*args, **kwargs))
            tape.finish()
            return self._result(tape, values)
        except MoreBits:
            raise
        except Exception as error:
            stopped = tape.stopped or error
            if isinstance(stopped, MoreBits):
                raise stopped from None
            raise Unserved(_located(stopped)) from error
        finally:
            tape.close()

    def _result(self, tape: Tape, values: Sequence[Any]) -> Run:
        self._require_shapes(values)
        balls = [np.frompyfunc(lambda v: ball_of(tape, v), 1, 1)(_objects(v)) for v in values]
        places = [np.frompyfunc(place_of, 1, 1)(_objects(v)) for v in values]
        return Run(tape, tuple(map(_objects, balls)), tuple(map(_objects, places)))

    def gradient(self, arithmetic: Arithmetic, replay: Sequence[Answer]) -> tuple[Array, ...]:
        """Run along known answers and pull back: one array of balls per differentiated leaf."""
        with precision(arithmetic.bits):
            return self.shaped(self.run(arithmetic, replay).pull_back(self.cotangents, self.inputs))

    def shaped(self, entries: Sequence[Any]) -> tuple[Array, ...]:
        """Cut a sequence with an entry per input into arrays like the differentiated leaves."""
        flat = np.empty(len(entries), dtype=object)
        flat[:] = entries
        sizes = [leaf.array.size for leaf in self.flat.differentiated]
        parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
        return tuple(p.reshape(leaf.array.shape) for p, leaf in zip(parts, self.flat.differentiated, strict=True))

    def _arguments(self, tape: Tape) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Make new arguments: inputs recorded, floating-point data exact constants, all else copied."""
        leaves = in_float64(self.flat.leaves)
        replaced: dict[int, Any] = {}
        for leaf in self.flat.differentiated:
            entered = _within(leaf.domain, leaves[leaf.index], tape.arithmetic.move)
            replaced[leaf.index] = _numbers(tape, entered, variable=True)
        for index, leaf in enumerate(leaves):
            if index not in replaced and isinstance(leaf, np.ndarray):
                floating = is_float(leaf.dtype)
                replaced[index] = _numbers(tape, leaf, variable=False) if floating else leaf.copy()
        return with_leaves(self.flat, replaced)

    def _require_shapes(self, values: Sequence[Any]) -> None:
        shapes, wanted = [np.shape(v) for v in values], [c.shape for c in self.cotangents]
        if shapes != wanted:
            raise Unserved(f"run on exact numbers it returns arrays of shapes {shapes}, where the value has {wanted}")


def _within(domain: Domain | None, array: Array, move: Callable[[Array], Array] | None) -> Array:
    """Move the inputs, if they are, no farther than where the forward is defined."""
    if move is None:
        return array
    moved = move(array)
    return moved if domain is None else domain.kept(array, moved)


def _numbers(tape: Tape, array: Array, *, variable: bool) -> Numbers:
    def number(ball: arb) -> Number:
        return Number(tape, ball, tape.variable() if variable else -1)

    enter = tape.arithmetic.enter if variable else tape.arithmetic.data
    balls = _objects(enter(array))
    made = np.empty(array.shape, dtype=object)
    made.ravel()[:] = [number(ball) for ball in balls.ravel()]
    return made.view(Numbers)


def _objects(value: Any) -> Array:
    """Give a plain array of objects, without axes for a scalar."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray).astype(object)
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def _located(error: Exception) -> str:
    """Say which line of the forward an error comes from, and what it is."""
    reason: BaseException = error
    while reason.__cause__ is not None:  # NumPy wraps what a conversion says
        reason = reason.__cause__
    said = str(reason).strip().split("\n")[0]
    what = said if isinstance(error, Unserved) else f"{type(reason).__name__}: {said}"
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if not _is_machinery(frame)]
    if not frames:
        return what
    frame, number = frames[-1]
    file = frame.f_code.co_filename
    return f"{file}:{number}: `{linecache.getline(file, number, frame.f_globals).strip()}`: {what}"


def _is_machinery(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.split(".")[0] in _MACHINERY or module.startswith("gradcheck.oracles.")
