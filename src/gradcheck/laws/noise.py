"""How far two answers may be apart where no oracle says what is right: the rule's own rounding, measured.

An answer is asked again at inputs and cotangents moved by one or two ulps, each way and its opposite, so that what is
tied falls to either side. The largest move of any entry of an array, over the whole of it, is its scatter: where an
answer jumps, as at a kink, its scatter is as large as the jump, and nothing is held against the rule.

Where a row is saturated, this is far below the rounding of what the row was computed from (a probability of 1 - 1e-20
is 1, its gradient 1e-20, and its row sums to 1e-20). So the size of a row counts as well, here, at half the primals,
and where they are divided by their largest, for a cotangent of mixed signs. Nor does it show how an exponent was
rounded that carries the size ``L`` of the largest primal, at least one, and makes what it is the exponent of wrong by
``u L`` of itself: moved by whole ulps, such a sum is rounded the same way each time. Together

    noise     = scatter + u L (rowmax |here| + rowmax |half| + rowmax |calm|) + tiny
    tolerance = SAFETY noise

Mistakes that these laws look for are as large as the answer itself, so a generous tolerance costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np

from gradcheck.domain import rounding_unit as unit_of
from gradcheck.laws.elsewhere import calm, calm_answer, halved, halved_answer, largest, mixed
from gradcheck.laws.running import Results, equal
from gradcheck.laws.subject import Changes, Subject
from gradcheck.rule import is_float
from gradcheck.tree import Array, every, leaves_of

__all__ = ["SAFETY", "Noise", "apart", "least_noise", "near", "noise_at", "noise_here", "rowmax", "tiny_of", "unit_of"]

Noise = Callable[[Subject], list[Array]]

# Four random moves of at most two ulps show about a fifth of what n roundings, all aligned, can do for n near a
# hundred. `benchmarks/law_false_alarms.py` measures what correct gradients use of it: at most
# a twentieth at 10,000 points.
SAFETY = 32.0
_DIRECTIONS = 2
_ULPS = np.array([-2, -1, 1, 2], dtype=np.int8)


@cache
def tiny_of(dtype: np.dtype[Any]) -> float:
    """Give the magnitude below which numbers may be lost; narrow types are emulated, and lose only what rounds away."""
    smallest = float(np.spacing(np.zeros((), dtype)))
    return smallest / float(np.spacing(np.ones((), dtype))) if dtype.itemsize >= 4 else smallest


def noise_here(subject: Subject) -> list[Array]:
    """Measure the noise of the answer at the point itself."""
    return noise_at(subject, {})


def noise_at(subject: Subject, changes: Changes, cotangent: Any = None) -> list[Array]:
    """Measure the noise of an answer elsewhere, one array of float64 per differentiated leaf."""
    here = subject.ask(changes, cotangent)
    sizes: tuple[Results | None, ...]
    if cotangent is None:
        sizes = (here, subject.recall(halved_answer), subject.recall(calm_answer))
    else:
        signs = mixed(subject, [np.asarray(c) for c in leaves_of(cotangent)])
        sizes = (here, subject.ask(subject.recall(halved), cotangent), subject.ask(subject.recall(calm), signs))
    scatter = _scatter(subject, changes, cotangent, here)
    size = subject.recall(_largest_primal)
    found = []
    for k, leaf in enumerate(subject.flat.differentiated):
        rows = [rowmax(np.abs(_finite(r[k]))) for r in sizes if r is not None and r[k] is not None]
        dtype = leaf.array.dtype
        rounding = unit_of(dtype) * size * np.sum(rows, axis=0) + np.zeros(leaf.array.shape)
        found.append(scatter[k] + rounding + tiny_of(dtype))
    return found


def least_noise(subject: Subject, *answers: Results, calm: bool = False) -> list[Array]:
    """Give what is part of the noise of any of some answers, without asking for more of them: a number for each row.

    Where they are answers to the cotangent itself, so are those where less is saturated, ``calm``, which have to be
    asked for.
    """
    size = subject.recall(_largest_primal)
    beside = [r for r in (subject.recall(halved_answer), subject.recall(calm_answer)) if r is not None] if calm else []
    found = []
    for k, leaf in enumerate(subject.flat.differentiated):
        rows = [_row_sizes(r) for answer in answers if (r := answer[k]) is not None]
        least = reduce(np.minimum, rows) if rows else np.zeros(())
        for answer in beside:
            least = least + (0.0 if (r := answer[k]) is None else _row_sizes(_finite(r)))
        found.append(unit_of(leaf.array.dtype) * size * least + tiny_of(leaf.array.dtype))
    return found


def _row_sizes(x: Array) -> Array:
    sizes = np.abs(x)
    return (sizes.max(axis=-1, keepdims=True) if x.ndim and x.size else sizes).astype(np.float64, copy=False)


def near(subject: Subject, expected: Results, found: Results, *, calm: bool = False) -> bool:
    """Whether two answers are so near each other that no noise has to be measured."""
    for more in (False, True) if calm else (False,):
        noise = least_noise(subject, expected, found, calm=more)
        pairs = zip(expected, found, noise, strict=True)
        if all(a is None or b is None or _within(a, b, least) for a, b, least in pairs):
            return True
    return False


def _within(a: Array, b: Array, noise: Array) -> bool:
    with np.errstate(all="ignore"):
        return every(np.abs(a.astype(np.float64) - b) <= SAFETY * noise)


def _largest_primal(subject: Subject) -> float:
    return max(float(largest(leaf.array)) for leaf in subject.flat.differentiated)


def apart(subject: Subject, expected: Results, found: Results, noise: Noise = noise_here) -> str:
    """Say where two answers are farther apart than rounding explains; empty if nowhere.

    The noise is only measured where they differ by more than the least that it can be.
    """
    if equal(expected, found, bits=True) or near(subject, expected, found):
        return ""
    for leaf, a, b, about in zip(subject.flat.differentiated, expected, found, subject.recall(noise), strict=True):
        if a is None or b is None or not a.size or not np.all(np.isfinite(a)) or not np.all(np.isfinite(b)):
            continue
        with np.errstate(all="ignore"):
            ratio = np.abs(a.astype(np.float64) - b.astype(np.float64)) / (SAFETY * about)
        worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        subject.ratios.append(float(ratio[worst]))
        if ratio[worst] > 1:
            at = f"[{', '.join(str(int(i)) for i in worst)}]" if worst else ""
            return f"{leaf.path}{at} is {float(b[worst]):.6g} where {float(a[worst]):.6g} is due"
    return ""


def _scatter(subject: Subject, changes: Changes, cotangent: Any, here: Results | None) -> list[float]:
    most = [0.0] * len(subject.flat.differentiated)
    cotangents = subject.cotangents if cotangent is None else [np.asarray(c) for c in leaves_of(cotangent)]
    for nearby, turned in _nearby(subject, changes, cotangents):
        near = subject.ask(nearby, turned)
        if near is None:  # data may have to be what they are, such as labels that sum to one
            near = subject.ask({i: nearby[i] for i in subject.indices}, turned)
        if near is None or here is None:
            continue
        for k, (a, b) in enumerate(zip(here, near, strict=True)):
            if a is not None and b is not None and a.size:
                move = np.abs(a.astype(np.float64) - b.astype(np.float64))
                most[k] = max(most[k], float(np.max(np.where(np.isnan(move), np.inf, move))))
    return most


def _nearby(subject: Subject, changes: Changes, cotangents: Sequence[Array]) -> Iterator[tuple[Changes, Any]]:
    """Move all floating-point inputs by an ulp or two, and then the opposite way."""
    rng = np.random.default_rng(1)
    leaves = {i: changes.get(i, x) for i, x in enumerate(subject.flat.leaves)}
    primals = set(subject.indices)
    for _ in range(_DIRECTIONS):
        # data that are zero stay so: a mask, or a label's weight that may not be negative
        steps = {
            i: _ulps(x, rng, zeros=i in primals)
            for i, x in leaves.items()
            if isinstance(x, np.ndarray) and is_float(x.dtype)
        }
        turns = [_ulps(c, rng, zeros=False) for c in cotangents] if subject.rule.takes_cotangent else None
        for sign in (1, -1):
            nearby = {i: (leaves[i] + sign * step).astype(leaves[i].dtype) for i, step in steps.items()}
            cotangent = None
            if turns is not None:
                pairs = zip(cotangents, turns, strict=True)
                cotangent = subject.cotangent_of([(c + sign * t).astype(c.dtype) for c, t in pairs])
            yield nearby, cotangent


def _ulps(array: Array, rng: np.random.Generator, *, zeros: bool) -> Array:
    with np.errstate(all="ignore"):
        ulps = _ULPS[rng.integers(0, len(_ULPS), array.shape, dtype=np.int8)]
        step = np.spacing(np.abs(array)) * ulps.astype(array.dtype)
    movable = np.isfinite(step) if zeros else np.isfinite(step) & (array != 0)
    return np.where(movable, step, np.zeros((), array.dtype))


def rowmax(x: Array) -> Array:
    """Spread the largest entry of each row (along the last axis) over the row."""
    return np.broadcast_to(x.max(axis=-1, keepdims=True), x.shape) if x.ndim and x.size else x


def _finite(x: Any) -> Array:
    return np.nan_to_num(np.asarray(x, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
