"""The answer depends on numbers, not on how they lie in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.independent_rows import unmoved
from gradcheck.laws.noise import Noise, apart, noise_at, noise_here
from gradcheck.laws.placing import TURNS, Key, Placed, arrays_of, asked_as_placed, placed
from gradcheck.laws.running import Results
from gradcheck.laws.subject import Subject
from gradcheck.laws.symmetry import at_once, not_one_matrix
from gradcheck.layouts import LAYOUTS, Layout
from gradcheck.tree import every

__all__ = ["applies", "broken", "left_out"]

# Where points follow one another, two turns are taken at each: of a hundred points, about twenty take any one of them.
# So it is where runs on ten copies of ten thousand numbers would take longer than all else; which the report then says.
_LARGE = 10_000
_FEW = 2
_SOMETIMES = 4  # two runs more


def applies(subject: Subject) -> str | None:
    """Apply to every rule."""
    return subject.irregular


def broken(subject: Subject) -> Breach | None:
    """Ask with every argument and the cotangent in every layout, all at once and each in another one.

    That takes as many runs as there are layouts for the array that has most of them, whatever the number of arrays. A
    difference is then looked for with one array at a time, so that the message can name it. Where the point is one of
    many, two of these runs are made at each, which two by its numbers, so that a few points make them all; and where
    two other laws have something to ask, they ask it in these layouts.
    """
    for chosen in () if _asked_anyway(subject) else _placements(subject):
        if found := _differs(subject, chosen):
            for key, layout in chosen.items():
                if alone := _differs(subject, {key: layout}):
                    return _breach(f"with {_name(subject, key)} {_shown(layout)}, {alone}")
            return _breach(f"with every array in another layout, {found}")
    if not _takes_all(subject) and subject.fingerprint % _SOMETIMES:
        return None
    found = _constant_cotangent(subject)
    return _breach(f"with a cotangent of stride 0, as a sum hands down, {found}") if found else None


def left_out(subject: Subject) -> str:
    """Say what was not asked at a point that has to show everything by itself, because it is large."""
    if not subject.thorough or _takes_all(subject):
        return ""
    return f"layouts: each array was handed over in {_FEW} of its up to {len(TURNS)}, since they are large"


def _takes_all(subject: Subject) -> bool:
    return subject.thorough and sum(a.size for a in arrays_of(subject).values()) <= _LARGE


def _asked_anyway(subject: Subject) -> bool:
    """Whether what other laws asked in a few layouts was answered as it should be."""
    one_of_many = not subject.thorough and subject.turn == 1 and not not_one_matrix(subject)
    return one_of_many and subject.recall(at_once) is not None and subject.recall(unmoved)


def _breach(text: str) -> Breach:
    return Breach("layouts", f"{text}: the gradient must not depend on how its arguments lie in memory")


def _shown(layout: Layout) -> str:
    return f"in the layout {layout.name!r} ({layout.about})"


def _name(subject: Subject, key: Key) -> str:
    paths = {leaf.index: leaf.path for leaf in subject.flat.differentiated}
    if isinstance(key, tuple):
        return "the cotangent"
    return paths.get(key, "a data argument")


def _placements(subject: Subject) -> Iterator[Placed]:
    """Give the turns to take that change anything."""
    every = _takes_all(subject)
    turns = (placed(subject, turn + (0 if every else subject.fingerprint)) for turn in TURNS)
    yield from islice(filter(None, turns), None if every else _FEW)


def _differs(subject: Subject, chosen: Placed) -> str:
    found = asked_as_placed(subject, chosen, {}, subject.cotangents)
    return found or "" if found is None or isinstance(found, str) else _apart(subject, subject.answer.cotangents, found)


def _apart(subject: Subject, expected: Results, found: Results, noise: Noise = noise_here) -> str:
    """Say where answers to the same numbers are apart: unlike at other numbers, nothing may overflow in one alone."""
    for leaf, a, b in zip(subject.flat.differentiated, expected, found, strict=True):
        if a is None or b is None or every(np.isfinite(b)):
            continue
        lost = np.argwhere(np.isfinite(a) & ~np.isfinite(b))
        if len(lost):
            at = tuple(int(i) for i in lost[0])
            where = f"{leaf.path}[{', '.join(map(str, at))}]" if at else leaf.path
            return f"{where} is {float(b[at])} where {float(a[at]):.6g} is due"
    return apart(subject, expected, found, noise)


def _constant_cotangent(subject: Subject) -> str:
    """Hand over a cotangent with one stored entry, against the same in full."""
    if not subject.rule.takes_cotangent or all(c.size < 2 for c in subject.cotangents):
        return ""
    # the largest entry of the cotangent itself, so that this is no other regime
    full = [np.full_like(c, c.flat[np.argmax(np.abs(c))]) if c.size else c for c in subject.cotangents]
    layout = next(layout for layout in LAYOUTS if layout.name == "stride-0")
    plain = subject.ask({}, subject.cotangent_of(full))
    chosen: Placed = {("cotangent", i): layout for i, c in enumerate(full) if c.size > 1}
    spread = asked_as_placed(subject, chosen, {}, full)
    if plain is None or spread is None:
        return ""
    if isinstance(spread, str):
        return spread
    return _apart(subject, plain, spread, lambda s: noise_at(s, {}, s.cotangent_of(full)))
