"""Numbers that write down what becomes of them: a ball each, and a tape that the derivative is read off backwards.

A forward written for NumPy runs on arrays of these as it stands. Whatever is computed from an input is recorded
together with its partial derivatives, all of them balls; `Tape.pull_back` then contracts with a cotangent, so that one
run and one pass give every entry of the gradient with a rigorous error.

Where a program asks which of two numbers is larger, the answer has no partial derivative and decides its path. The
tape keeps the answers, and a tape that is given them repeats them in order instead of deciding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from flint import arb

__all__ = ["MOST_OPERATIONS", "OF_ANOTHER_RUN", "Answer", "Arithmetic", "MoreBits", "Tape", "Unserved"]

Answer = int | float | None
_T = TypeVar("_T", bound=Answer)
Edge = tuple[int, Any]

# A recorded operation takes 0.5 kB, and 5 us there and back, so that these many take 250 MB and 2.5 s.
MOST_OPERATIONS = 500_000
OF_ANOTHER_RUN = "the forward keeps numbers from one call to the next, of which another run knows nothing"


class Unserved(Exception):
    """A forward cannot be run on numbers that are no floats: names the line that stopped it, or what is missing."""


class MoreBits(Exception):
    """A comparison, or a value, is not settled at the precision of this run."""


@dataclass(frozen=True)
class Arithmetic:
    """How a run computes.

    Parameters
    ----------
    bits : int
        Working precision.
    enter, data : callable
        From an array of float64 to one of balls: for inputs and cotangents, and for what is not differentiated.
    lift : callable
        From a float that stands in the program to a ball.
    jitter : callable, or None
        What every result is passed through, to perturb it.
    move : callable, or None
        From an array of float64 to one close by, where the inputs shall be taken instead of where they are.
    patient : bool
        Whether to ask for more bits where something is not settled. Otherwise balls that overlap are equal.
    """

    bits: int
    enter: Callable[[Any], Any]
    data: Callable[[Any], Any]
    lift: Callable[[float], arb]
    jitter: Callable[[arb], arb] | None = None
    move: Callable[[Any], Any] | None = None
    patient: bool = False


class Tape:
    """Every operation of one run on what depends on the inputs: its operands and its partial derivatives.

    Parameters
    ----------
    arithmetic : Arithmetic
        How it computes.
    replay : sequence of answers, or None
        Answers to the comparisons of the run, in order; None to decide them.
    """

    def __init__(self, arithmetic: Arithmetic, replay: Sequence[Answer] | None = None) -> None:
        self.arithmetic = arithmetic
        self.edges: list[tuple[Edge, ...]] = []
        self.answers: list[Answer] = []
        self.functions: set[str] = set()  # of one number, by name
        self.stopped: Exception | None = None
        self._short_of_bits = False
        self._over = False
        self._replay: Iterator[Any] | None = None if replay is None else iter(replay)
        self._lifted: dict[float, arb] = {}

    def variable(self) -> int:
        """Give the next input its place."""
        self.edges.append(())
        return len(self.edges) - 1

    def ball(self, value: float) -> arb:
        """Give the ball of a float that stands in the program."""
        found = self._lifted.get(value)
        if found is None:
            found = self._lifted[value] = self.arithmetic.lift(value)
        return found

    def record(self, ball: arb, operands: tuple[arb, ...], edges: tuple[Edge, ...]) -> tuple[arb, int]:
        """Write down the result of an operation: its value, what it was made of, and its partial derivatives.

        An edge is an operand's place (negative for one that depends on no input) and the derivative by that operand.
        Returns the value to go on with, and its place.
        """
        self._require_running()
        if self.arithmetic.jitter is not None:
            ball = self.arithmetic.jitter(ball)
        elif ball.is_nan():
            self._require_settled(operands)
        active = tuple([edge for edge in edges if edge[0] >= 0])
        if not active:
            return ball, -1
        if len(self.edges) >= MOST_OPERATIONS:
            raise self.stop(Unserved(f"more than {MOST_OPERATIONS:,} operations would have to be recorded"))
        self.edges.append(active)
        return ball, len(self.edges) - 1

    def _require_settled(self, operands: tuple[arb, ...]) -> None:
        """Ask for more bits where a NaN is owed to the width of an operand (as the logarithm of a ball about 0 is).

        Where there are no more, remember it: the number may be none at all or any, and nothing may be decided by it.
        """
        if any(b.is_nan() for b in operands) or all(b.is_exact() for b in operands):
            return
        if self.arithmetic.patient:
            raise self.stop(MoreBits())
        self._short_of_bits = True

    def require_known(self, x: arb) -> None:
        """Refuse to decide anything by a number that may be NaN for want of bits alone."""
        if self._short_of_bits and x.is_nan():
            raise self.stop(Unserved(f"{self.arithmetic.bits} bits do not tell what a number is that decides its path"))

    def stop(self, error: Exception) -> Exception:
        """Remember what ends this run, so that a forward which catches it all cannot hide it."""
        self.stopped = error
        return error

    def decide(self, question: Callable[[], _T]) -> _T:
        """Answer a question about the sizes of numbers, or repeat the answer that was given before."""
        self._require_running()
        if self._replay is None:
            answer: _T = question()
        else:
            try:
                answer = next(self._replay)
            except StopIteration:
                reason = "run again on the same inputs, it compares more numbers than before"
                raise self.stop(Unserved(reason)) from None
        self.answers.append(answer)
        return answer

    def _require_running(self) -> None:
        if self._over:
            raise Unserved(OF_ANOTHER_RUN)

    def close(self) -> None:
        """Take nothing down any more: a forward that has kept a number is to hear of it when it uses it."""
        self._over = True

    def finish(self) -> None:
        """Raise what stopped the run; refuse one that left answers over."""
        if self.stopped is not None:
            raise self.stopped
        if self._replay is not None and next(self._replay, self) is not self:
            raise Unserved("run again on the same inputs, it compares fewer numbers than before")

    def order(self, x: arb, y: arb) -> int | None:
        """Say whether a number is below (-1), equal to (0) or above (1) another; None where one is NaN."""
        return self.decide(lambda: self._compare(x, y))

    def _compare(self, x: arb, y: arb) -> int | None:
        if x < y:
            return -1
        if x > y:
            return 1
        if x.is_nan() or y.is_nan():
            self.require_known(x)
            self.require_known(y)
            return None
        return 0 if x is y or x == y else self._overlap()

    def _overlap(self) -> int:
        if self.arithmetic.patient:
            raise self.stop(MoreBits())
        return 0

    def whole(self, x: arb) -> float:
        """Give the largest whole number that is not above ``x``."""

        def question() -> float:
            if not x.is_finite():
                self.require_known(x)
                return float(x)
            found = x.floor().unique_fmpz()
            # where balls that overlap are equal, x is equal to the whole number next to its middle
            return int(found) if found is not None else self._overlap() or round(float(x))

        return self.decide(question)

    def exponent(self, x: arb) -> int:
        """Give the whole number ``e`` for which ``2**(e - 1) <= abs(x) < 2**e``; ``x`` is finite and not 0."""

        def question() -> int:
            low, high = _exponent(x.abs_lower()), _exponent(x.abs_upper())
            return low if low == high else self._overlap() or high

        return self.decide(question)

    def pull_back(self, seeds: Mapping[int, arb], inputs: int, *, sizes: bool = False) -> list[arb]:
        """Contract with cotangents of some of its numbers: one sum of products per input, the first recorded.

        With ``sizes`` all are taken absolutely, which gives the size of the summands that each result is made of.
        What a cotangent of exactly 0 stands at is not looked at: a value that is not asked about may be a logarithm of
        0. An adjoint that has become 0 on the way is: times an infinite derivative it may be any number.
        """
        adjoints: list[Any] = [None] * len(self.edges)
        jitter = self.arithmetic.jitter
        for index, seed in seeds.items():
            if not seed.is_zero():
                adjoints[index] = abs(seed) if sizes else seed
        for index in range(len(adjoints) - 1, inputs - 1, -1):
            adjoint = adjoints[index]
            if adjoint is None:
                continue
            for parent, slope in self.edges[index]:
                summand = adjoint * (abs(slope) if sizes else slope)
                before = adjoints[parent]
                summed = summand if before is None else before + summand
                adjoints[parent] = summed if jitter is None else jitter(summed)
        zero = self.ball(0.0)
        return [zero if adjoint is None else adjoint for adjoint in adjoints[:inputs]]


def _exponent(x: arb) -> int:
    mantissa, exponent = x.man_exp()
    return int(mantissa).bit_length() + int(exponent)
