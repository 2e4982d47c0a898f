"""Whether two rules are one and the same, as far as anybody can see who runs them.

A mistake may do nothing to a rule (1/N missing from a sum), and two mistakes may be one function there (counted twice,
and a factor of 2). That is no matter of opinion: both are run at many points, in several memory layouts, over and over,
and what they answer, leave behind and share is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import hypothesis
import jax
import numpy as np
from _corpus import ONLY_SEARCH
from _diagnosis_subject import Subject
from hypothesis import settings
from hypothesis import strategies as st

from gradcheck import Rule
from gradcheck import strategies as gst
from gradcheck.rule import Point
from gradcheck.tree import leaves_of

# Of the largest entry; and of the largest cotangent, or of 1, where all entries are what is left of summands about that
# size. Far above what another order of additions does to float64, far below what arithmetic in float32 does (6e-8) to
# ordinary entries.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
# A copy that a mutant takes lies in C order, where sums go another way; what layouts break is as large as entries are.
OF_LAYOUT = 1000

Seen = tuple[str, Any, float]  # what it is, the thing itself, and the size of its summands
Layout = Callable[[Any], Any]


def points_of(subject: Subject, seed: int, count: int) -> list[Point]:
    """Collect the points that ``gradcheck.verify`` would look at, one after the other, if it never failed."""
    points: list[Point] = []
    rule = subject.make()

    @hypothesis.seed(seed)
    @settings(ONLY_SEARCH, max_examples=count)
    @hypothesis.given(case=subject.cases(), data=st.data())
    def collect(case: tuple[Any, ...], data: st.DataObject) -> None:
        args = _in_layout(tuple(case), np.array)
        value = rule(*args, **subject.data)[0]
        cotangent = data.draw(gst.cotangents(value)) if rule.takes_cotangent else np.ones_like(value)
        points.append(Point(args, dict(subject.data), cotangent))

    with np.errstate(all="ignore"):
        collect()
    return points


def alike(first: Rule, second: Rule, points: Sequence[Point]) -> bool:
    """Tell whether two rules, both fresh, cannot be told apart at the points."""
    with np.errstate(all="ignore"):
        pairs = zip_longest(_behaviour(first, points), _behaviour(second, points), fillvalue=("", None, 1.0))
        return all(_same(a, b) for a, b in pairs)


def _behaviour(rule: Rule, points: Sequence[Point]) -> Iterator[Seen]:
    """Yield what is seen of a rule, the cheap things first."""
    for name, layout in _LAYOUTS.items():
        for point in points:
            yield from _seen(rule, point, name, layout)
    earlier: list[tuple[Any, float]] = []
    for point in points:
        result = _answer(rule, point, np.array)
        yield from (("earlier results later", leaf, size) for old, size in earlier for leaf in leaves_of(old))
        earlier = [*earlier[-2:], (result, _size(point))]


def _seen(rule: Rule, point: Point, name: str, layout: Layout) -> Iterator[Seen]:
    args, data, cotangent = (_in_layout(tree, layout) for tree in (point.args, point.kwargs, point.cotangent))
    try:
        pullback = rule(*args, **data)[1]
        result = pullback(cotangent)
        kept = _in_layout(result, np.array)
        again = pullback(cotangent)
    except Exception as error:
        yield "raises", type(error).__name__, 1.0
        return
    for answer in (kept, again, result):
        yield "structure", str(jax.tree_util.tree_structure(answer, is_leaf=lambda leaf: leaf is None)), 1.0
        yield from ((name, leaf, _size(point)) for leaf in leaves_of(answer))
    given = [leaf for leaf in leaves_of((args, data, cotangent)) if isinstance(leaf, np.ndarray)]
    yield from (("what was given", leaf, 1.0) for leaf in given)
    arrays = [leaf for leaf in (*leaves_of(result), *leaves_of(again)) if isinstance(leaf, np.ndarray)]
    for at, array in enumerate(arrays):
        yield "shared", [np.may_share_memory(array, other) for other in (*given, *arrays[:at])], 1.0


def _size(point: Point) -> float:
    return max([1.0, *(float(np.max(np.abs(c), initial=0.0)) for c in leaves_of(point.cotangent))])


def _answer(rule: Rule, point: Point, layout: Layout) -> Any:
    args, data, cotangent = (_in_layout(tree, layout) for tree in (point.args, point.kwargs, point.cotangent))
    try:
        return rule(*args, **data)[1](cotangent)
    except Exception as error:
        return type(error).__name__


def _same(first: Seen, second: Seen) -> bool:
    (name, a, size), (other, b, _) = first, second
    if name != other or type(a) is not type(b):
        return False
    if not isinstance(a, (np.ndarray, np.generic)):
        return bool(a == b)
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    room = RELATIVE * np.max(abs(a), initial=0.0, where=np.isfinite(a)) + ABSOLUTE * size
    room *= 1 if name == "C" else OF_LAYOUT
    return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b)) | (abs(a - b) <= room)))


def _in_layout(tree: Any, layout: Layout) -> Any:
    return jax.tree_util.tree_map(lambda a: layout(a) if isinstance(a, (np.ndarray, np.generic)) else a, tree)


def _strided(array: Any) -> Any:
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype) if array.ndim else np.array(array)
    if not array.ndim:
        return wide
    wide[..., ::2] = array
    return wide[..., ::2]


def _reversed(array: Any) -> Any:
    return np.array(array[::-1])[::-1] if array.ndim else np.array(array)


def _repeated(array: Any) -> Any:
    """Store the number once in arrays of one number alone: of others, this would be another point."""
    if not array.size or np.any(array != array.flat[0]):
        return np.array(array)
    return np.broadcast_to(np.array(array.flat[0]), array.shape)


_LAYOUTS: dict[str, Layout] = {
    "C": np.array,
    "Fortran": np.asfortranarray,
    "strided": _strided,
    "reversed": _reversed,
    "stride 0": _repeated,
}
