"""A program bound to sizes, and the arithmetics it can be run in.

- `Plan.trace`: NumPy float64, as it is;
- `Plan.magnitudes`: absolute values, the size of the summands that each entry is made of (``M``);
- `Plan.spread`: every rounding and every input perturbed at random, the conditioning of the program (``s``);
- `Plan.sides`: perturbed with comparisons left free, the derivatives on the other sides of a kink.

Comparisons are decided by the plain run and replayed in `Plan.spread`, so that all its runs follow one path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from gradcheck.oracles.program.lean import Schedule, schedule
from gradcheck.oracles.program.magnitude import Rule, magnitudes, rules
from gradcheck.oracles.program.noise import Noise
from gradcheck.oracles.program.operation import Array, Operation
from gradcheck.oracles.program.primitives import EXACT
from gradcheck.oracles.program.shaping import sort_order

__all__ = ["Plan", "Step"]

# Relative size of one perturbation. 2^-40 is 2^12 above the round-off of float64, so rounding blurs a spread by
# less than 0.1 %, and small enough that second-order terms (2^-80) vanish against it.
PERTURBATION = 2.0**-40
# Runs after which a comparison that never came out otherwise is taken for settled. A tie comes out either way with
# equal chances, so that it is missed once in 2^16.
_PROBES = 16
_NORMAL = float(np.finfo(np.float64).tiny)  # the smallest number that has a relative change
# a sort, or the place of a maximum, compares an array with itself
_AMONG_ITSELF = frozenset({"sort", "argmax", "argmin"})
# Takes inputs that were moved, and gives them back inside the domain of the program.
Keep = Callable[[list[Array]], list[Array]]
_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "max", "min", "clamp"}) | _AMONG_ITSELF


@dataclass(frozen=True)
class Step:
    """One equation: which values it reads and writes; ``params`` are those of its primitive, made of plain numbers."""

    operation: Operation
    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    params: Mapping[str, Any]

    def store(self, values: list[Any], result: Any) -> None:
        """Put what the operation returned where it belongs."""
        if len(self.writes) == 1:
            values[self.writes[0]] = np.asarray(result)
        else:
            for slot, part in zip(self.writes, result, strict=True):
                values[slot] = part


@dataclass(frozen=True)
class Plan:
    """A program bound to sizes: steps over numbered values, ready to run.

    Inputs are, in this order: every array leaf of the arguments, then one cotangent per output of the reference.
    Outputs: the reference's value leaves, then one cotangent per differentiated leaf.
    """

    steps: tuple[Step, ...]
    constants: tuple[tuple[int, Array], ...]
    size: int
    outputs: tuple[int, ...]
    n_values: int
    elsewhere: Plan | None = None  # the same program at other sizes, whose rules and schedule are this one's too

    @cached_property
    def rules(self) -> tuple[Rule | None, ...]:
        """For each step the rule by which its results have sizes that are not their own, if it has one."""
        return rules(self.steps, self.outputs) if self.elsewhere is None else self.elsewhere.rules

    @cached_property
    def schedule(self) -> Schedule:
        """When each value is read last."""
        return schedule(self) if self.elsewhere is None else self.elsewhere.schedule

    def start(self, inputs: Sequence[Array]) -> list[Array]:
        """Lay inputs and constants out among the values to come."""
        values: list[Any] = [None] * self.size
        values[: len(inputs)] = inputs
        for slot, constant in self.constants:
            values[slot] = constant
        return values

    def trace(self, inputs: Sequence[Array]) -> list[Array]:
        """Evaluate in float64 and keep every intermediate value, which the other arithmetics start from."""
        values = self.start(inputs)
        with np.errstate(all="ignore"):
            for step in self.steps:
                result = step.operation(*[values[i] for i in step.reads])
                if type(result) is np.ndarray:  # nearly always, and a call less
                    values[step.writes[0]] = result
                else:
                    step.store(values, result)
        return values

    def values(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Evaluate in float64."""
        return self.results(self.trace(inputs))

    def results(self, trace: Sequence[Array]) -> tuple[Array, ...]:
        """Pick the outputs out of a trace."""
        return tuple(trace[i] for i in self.outputs)

    def magnitudes(self, values: Sequence[Array]) -> tuple[Array, ...]:
        """Evaluate with absolute values along a trace: how large the summands of each output entry are."""
        return magnitudes(self, values)

    def spread(
        self,
        inputs: Sequence[Array],
        plain: Sequence[Array],
        *,
        runs: int,
        seed: int,
        scale: float = PERTURBATION,
    ) -> tuple[Array, ...]:
        """Give the largest change of each output over ``runs`` perturbed evaluations, per unit of perturbation.

        ``plain`` is the trace of ``inputs``, ``scale`` the largest relative perturbation.
        """
        noise = Noise(seed, scale)
        steps = self._replayed(plain)
        floats = [k for k, slot in enumerate(self.outputs) if not _is_discrete(plain[slot])]
        worst = [np.zeros(np.shape(plain[i])) for i in self.outputs]
        with np.errstate(all="ignore"):
            for _ in range(runs):
                values = self._along(inputs, plain, steps, noise)
                for k in floats:
                    slot = self.outputs[k]
                    # a NaN difference (inf - inf) must stay NaN: an unknown spread is not a small one
                    worst[k] = np.maximum(worst[k], np.abs(values[slot] - plain[slot]) / scale)
        return tuple(worst)

    def _replayed(self, plain: Sequence[Array]) -> list[Step]:
        """List the steps that a run which replays comparisons has to evaluate: those that make floats it needs."""
        needed, steps = set(self.outputs), []
        for step in reversed(self.steps):
            if any(slot in needed and not _is_discrete(plain[slot]) for slot in step.writes):
                needed.update(step.reads)
                steps.append(step)
        return steps[::-1]

    def _along(
        self, inputs: Sequence[Array], plain: Sequence[Array], steps: Sequence[Step], noise: Noise | None
    ) -> list[Array]:
        """Evaluate some steps with comparisons as they came out in a trace, every input and rounding perturbed."""
        nudge = noise.nudge if noise else np.asarray
        values = list(plain)
        for slot, x in enumerate(inputs):
            values[slot] = x if _is_discrete(x) else nudge(x)
        for step in steps:
            operands = [values[i] for i in step.reads]
            operation = step.operation if step.name not in _REPLAYED else partial(_REPLAYED[step.name], step, plain)
            result = operation(*operands)
            for slot, part in zip(step.writes, (result,) if len(step.writes) == 1 else result, strict=True):
                if not _is_discrete(plain[slot]):
                    values[slot] = np.asarray(part) if step.name in EXACT else nudge(part)
        return values

    def sides(
        self,
        inputs: Sequence[Array],
        plain: Sequence[Array],
        *,
        unit: float,
        runs: int,
        seed: int,
        keep: Keep = list,
    ) -> list[tuple[Array, ...]]:
        """Give the outputs along the other ways that comparisons may come out when all is perturbed by ``unit``.

        Operands that coincide to the precision of a rule may compare either way in it; each way is a derivative of
        the mathematical function at a point that this precision cannot tell from the one at hand. The perturbed run
        only decides: the outputs are evaluated at the inputs as they are, so that whatever no comparison touches
        comes out exactly as it was. Its inputs are those that ``keep`` makes of moved ones: what the program is beyond
        their domain is no side of it.
        """
        if not self._close_call(plain, unit):
            return []
        rng, noise = np.random.default_rng(seed), Noise(seed, unit)
        found: list[tuple[Array, ...]] = []
        primals = len(inputs) - self.n_values
        slots = self._choices(plain)
        for run in range(runs):
            if run == _PROBES and not found:
                break
            # cotangents take no part in comparisons, and their zeros must stay what they are
            moved = [*map(partial(_stir, rng=rng, scale=unit), inputs[:primals]), *inputs[primals:]]
            values = self._perturbed(keep([x if _is_discrete(x) else noise.nudge(x) for x in moved]), plain, noise)
            if any(not np.array_equal(values[slot], plain[slot]) for slot in slots):
                found.append(self._beyond(inputs, values))
        return found

    def sides_at(
        self,
        inputs: Sequence[Array],
        plain: Sequence[Array],
        *,
        slot: int,
        entry: int,
        unit: float,
        keep: Keep = list,
    ) -> list[tuple[Array, ...]]:
        """Give the outputs beyond those comparisons that one entry of one input turns, moved either way by ``unit``."""
        found: list[tuple[Array, ...]] = []
        at = np.unravel_index(entry, inputs[slot].shape)
        own = abs(float(inputs[slot][at]))
        size = own if own >= _NORMAL else _smallest(inputs[slot])
        for change in (unit * size, -unit * size):
            moved = list(inputs)
            moved[slot] = inputs[slot].copy()
            moved[slot][at] += change
            moved = keep(moved)
            if not self.same_piece(moved, plain):
                found.append(self._beyond(inputs, self.trace(moved)))
        return found

    def same_piece(self, inputs: Sequence[Array], plain: Sequence[Array]) -> bool:
        """Whether all comparisons come out at other inputs as they did in a trace."""
        values = self.trace(inputs)
        return all(np.array_equal(values[i], plain[i]) for i in self._choices(plain))

    def _choices(self, plain: Sequence[Array]) -> list[int]:
        """List the values that say how comparisons came out."""
        return [slot for step in self.steps for slot in step.writes if _is_discrete(plain[slot])]

    def _beyond(self, inputs: Sequence[Array], values: Sequence[Array]) -> tuple[Array, ...]:
        """Evaluate at the inputs with comparisons as they came out in other values."""
        with np.errstate(all="ignore"):
            return self.results(self._along(inputs, values, self._replayed(values), None))

    def _close_call(self, plain: Sequence[Array], unit: float) -> bool:
        """Whether any comparison of floats has operands so close that perturbations by ``unit`` might turn it.

        Rounding moves an operand by some multiple of its own size, or of what it is the difference of, which is
        looked for among all values it was computed from by taking the largest magnitude in the program.
        """
        reach = None
        for step in self.steps:
            if step.name not in _COMPARISONS or _is_discrete(plain[step.reads[0]]) or _tests_nan(step):
                continue
            if reach is None:
                floats = [v for v in plain if v is not None and not _is_discrete(v)]
                reach = unit * max(map(_largest, floats), default=0.0)
            if step.name in _AMONG_ITSELF:
                return True
            a, b = (plain[i] for i in step.reads[:2])
            with np.errstate(all="ignore"):
                if np.any(np.abs(a - b) <= reach):
                    return True
        return False

    def _perturbed(self, inputs: Sequence[Array], plain: Sequence[Array], noise: Noise) -> list[Array]:
        """Evaluate with every rounding perturbed, comparisons left free."""
        values = self.start(inputs)
        with np.errstate(all="ignore"):
            for step in self.steps:
                operation = partial(_whole_power, step, plain) if step.name == "pow" else step.operation
                # what a perturbed run is NaN for, the function itself need not be on any side
                result = plain[step.writes[0]] if _tests_nan(step) else operation(*[values[i] for i in step.reads])
                for slot, part in zip(step.writes, (result,) if len(step.writes) == 1 else result, strict=True):
                    exact = step.name in EXACT or _is_discrete(part)
                    values[slot] = np.asarray(part) if exact else noise.nudge(np.asarray(part))
        return values


def _sort_as_it_was(step: Step, plain: Sequence[Array], *operands: Array) -> Any:
    order = sort_order(step.params, [plain[i] for i in step.reads])
    result = [np.take_along_axis(x, order, step.params["dimension"]) for x in operands]
    return result if len(result) > 1 else result[0]


def _whole_power(step: Step, plain: Sequence[Array], x: Array, y: Array) -> Any:
    """Keep the exponent of a negative number, which has no power but a whole one."""
    base, exponent = (plain[i] for i in step.reads)
    return step.operation(x, np.where(base < 0, exponent, y))


# what a perturbed run evaluates otherwise than by the operation itself
_REPLAYED: Mapping[str, Operation] = {"pow": _whole_power, "sort": _sort_as_it_was}


def _tests_nan(step: Step) -> bool:
    return step.name in ("eq", "ne") and step.reads[0] == step.reads[1]


def _largest(x: Array) -> float:
    """Give the largest finite magnitude: a mask of -inf is no size."""
    return float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))


def _smallest(x: Array) -> float:
    """Give the smallest magnitude above the subnormal ones, at most 1: what a zero may be moved by beside it."""
    size = np.abs(x)
    return float(np.min(size, initial=1.0, where=np.isfinite(x) & (size >= _NORMAL)))


def _is_discrete(x: Array) -> bool:
    return x.dtype.kind in "biu"


def _stir(x: Array, rng: np.random.Generator, scale: float) -> Array:
    """Move what is zero or subnormal in an input: a relative change would leave it, and its ties, as they are."""
    if _is_discrete(x):
        return x
    size = _smallest(x)
    return np.asarray(np.where(np.abs(x) < _NORMAL, x + scale * size * rng.uniform(-1.0, 1.0, x.shape), x))
