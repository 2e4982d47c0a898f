"""Memory is read as if it were C-contiguous, or strides are taken for what they need not be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.running import Pulled, Results, copied, copies, run
from gradcheck.layouts import LAYOUTS, Layout
from gradcheck.mistakes.asking import distance, name_of, pulled
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Setting
from gradcheck.mistakes.wrapping import Asked, wrapped
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, flatten, leaves_of

__all__ = ["MISTAKE"]

_NAME = "layout assumed"


def _inject(rule: Rule) -> Rule:
    return wrapped(rule, _cotangent_by_memory if rule.takes_cotangent else _first_by_memory)


def _cotangent_by_memory(asked: Asked, cotangent: Any) -> Any:
    import jax

    return asked.pullback(jax.tree_util.tree_map(_by_memory, cotangent))


def _first_by_memory(asked: Asked, cotangent: Any) -> Any:
    import jax

    position = asked.rule.differentiated(asked.args)[0]
    args = list(asked.args)
    args[position] = jax.tree_util.tree_map(_by_memory, args[position])
    return asked.rule(*args, **asked.kwargs)[1](cotangent)


def _by_memory(array: Any) -> Any:
    """Read the memory that an array is a view of from its beginning, as a kernel does that is given a pointer."""
    if not isinstance(array, np.ndarray) or array.flags.c_contiguous:
        return array
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    numbers = np.ravel(owner, order="K")[: array.size]
    # never beyond the end, where there are zeros for what a kernel would find
    return np.pad(numbers, (0, array.size - len(numbers))).reshape(array.shape).astype(array.dtype)


@dataclass(frozen=True, eq=False)
class _Seen:
    """An array in a layout in which the answer changes; ``after`` is how far it is from what its memory reads."""

    name: str
    layout: Layout
    before: float
    after: float
    raised: str = ""


def _recognise(context: Context) -> Finding | None:
    if context.breach is None or context.breach.law != "layouts":
        return None
    points = [context.point, *(s.point for s in context.samples[1:3]), _constant(context)]
    found = [seen for point in points for seen in _differing(context, point)]
    if not found:
        return None
    first = found[0]
    own = [s for s in found if s.name == first.name]
    layouts = ", ".join(dict.fromkeys(repr(s.layout.name) for s in own))
    by_memory = all(s.after <= 1.0 for s in own)
    why = "its memory is read in order, from where it begins" if by_memory else "the answer depends on its strides"
    says = f"the gradient is another where {first.name} lies in memory as {layouts}: {first.raised or why}"
    change = f"begin with np.ascontiguousarray({_plain(first.name)}), or index it instead of using .ravel(order='K'), "
    change += ".strides, .data or flags"
    evidence = tuple(
        Evidence(f"{s.name} in the layouts C-contiguous and {s.layout.name}", s.before, s.after, by_law=True)
        for s in own[:5]
    )
    return Finding(_NAME, says, change, evidence, context.point)


def _constant(context: Context) -> Point:
    """Give the failing point a cotangent of equal entries, as a sum hands down in one stored number."""
    full = [np.full_like(c, c.flat[np.argmax(np.abs(c))]) if c.size else c for c in context.origin.cotangents]
    return context.origin.moved({}, full)


def _plain(name: str) -> str:
    return name.removeprefix("the ")


def _differing(context: Context, point: Point) -> Iterator[_Seen]:
    """Try each array in each layout, all others plain."""
    flat = flatten(context.rule, point)
    plain = pulled(context, flat, point.cotangent)
    if plain is None:
        return
    if context.rule.takes_cotangent:
        arrays = [np.asarray(c) for c in leaves_of(point.cotangent)]
        for place, array in enumerate(arrays):
            yield from _one(context, point, "the cotangent", array, plain.kept, place=place)
    for index, leaf in enumerate(flat.leaves):
        if isinstance(leaf, np.ndarray):
            yield from _one(context, point, name_of(context, index), leaf, plain.kept, index=index)


def _one(
    context: Context, point: Point, name: str, array: Array, plain: Results, *, place: int = -1, index: int = -1
) -> Iterator[_Seen]:
    for layout in LAYOUTS[1:]:
        if not layout.applies(array):
            continue
        laid = layout.make(array)
        found = _asked(context, point, place, index, laid)
        if found is None or isinstance(found, str):
            yield _Seen(name, layout, np.inf, np.inf, f"it raises {found}" if found else "it keeps no contract")
        elif (before := distance(context, plain, found)) > 1.0:
            read = _asked(context, point, place, index, _by_memory(laid))
            yield _Seen(name, layout, before, distance(context, read, found) if isinstance(read, tuple) else np.inf)


def _asked(context: Context, point: Point, place: int, index: int, laid: Any) -> Results | str | None:
    flat = flatten(context.rule, point)
    handed: dict[int, Any] = copies(flat)
    seen = copied(point.cotangent)
    if index >= 0:
        handed[index] = laid
    else:
        cotangents = [np.asarray(c) for c in leaves_of(seen)]
        cotangents[place] = laid
        seen = Setting(context.rule, point, flat, (), lambda _: None).moved({}, cotangents).cotangent
    try:
        with np.errstate(all="ignore"):
            found = run(context.rule, flat, handed).pull(point.cotangent, seen)
    except RuleError as error:
        return str(error.__cause__ or error)
    return found.kept if isinstance(found, Pulled) else found.text


MISTAKE = Mistake(_NAME, _inject, _recognise, contains=("argument overwritten", "cotangent overwritten"))
