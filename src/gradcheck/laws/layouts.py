"""The answer depends on numbers, not on how they lie in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.breach import Breach
from gradcheck.laws.noise import apart, noise_at
from gradcheck.laws.running import Pulled, Results, is_signal, run
from gradcheck.laws.subject import Subject
from gradcheck.layouts import LAYOUTS, Layout
from gradcheck.tree import Array

__all__ = ["applies", "broken"]

# From here on, a few layouts are asked at each point, which ones by the size of the arrays: ten copies of a hundred
# thousand numbers, strided, take longer than all else.
_LARGE = 100_000
_FEW = 3

Placed = Mapping[int | tuple[str, int], Layout]  # leaves by index; of the cotangent: ("cotangent", index)


def applies(subject: Subject) -> str | None:
    """Apply to every rule."""
    return subject.irregular


def broken(subject: Subject) -> Breach | None:
    """Ask with every argument and the cotangent in every layout, all at once and each in another one.

    That takes as many runs as there are layouts for the array that has most of them, whatever the number of arrays. A
    difference is then looked for with one array at a time, so that the message can name it.
    """
    for placed in _placements(subject):
        if found := _differs(subject, placed):
            for key, layout in placed.items():
                if alone := _differs(subject, {key: layout}):
                    return _breach(f"with {_name(subject, key)} {_shown(layout)}, {alone}")
            return _breach(f"with every array in another layout, {found}")
    found = _constant_cotangent(subject)
    return _breach(f"with a cotangent of stride 0, as a sum hands down, {found}") if found else None


def _breach(text: str) -> Breach:
    return Breach("layouts", f"{text}: the gradient must not depend on how its arguments lie in memory")


def _shown(layout: Layout) -> str:
    return f"in the layout {layout.name!r} ({layout.about})"


def _name(subject: Subject, key: int | tuple[str, int]) -> str:
    paths = {leaf.index: leaf.path for leaf in subject.flat.differentiated}
    if isinstance(key, tuple):
        return "the cotangent"
    return paths.get(key, "a data argument")


def _arrays(subject: Subject) -> dict[int | tuple[str, int], Array]:
    found: dict[int | tuple[str, int], Array] = {
        i: leaf for i, leaf in enumerate(subject.flat.leaves) if isinstance(leaf, np.ndarray)
    }
    if subject.rule.takes_cotangent:
        found |= {("cotangent", i): c for i, c in enumerate(subject.cotangents)}
    return found


def _placements(subject: Subject) -> Iterator[Placed]:
    arrays = _arrays(subject)
    # the first is the plain one, in which everything has been asked already
    fit = {key: [layout for layout in LAYOUTS[1:] if layout.applies(array)] for key, array in arrays.items()}
    turns = list(range(max(map(len, fit.values()), default=0)))
    size = sum(a.size for a in arrays.values())
    if size > _LARGE:
        turns = np.random.default_rng(size).permutation(turns)[:_FEW].tolist()
    for turn in turns:
        yield {key: some[(turn + k) % len(some)] for k, (key, some) in enumerate(fit.items()) if some}


def _differs(subject: Subject, placed: Placed) -> str:
    found = _asked(subject, placed, subject.cotangents)
    return found if isinstance(found, str) else apart(subject, subject.answer.cotangents, found)


def _asked(subject: Subject, placed: Placed, cotangents: list[Array]) -> Results | str:
    """Ask the rule with some arrays in other layouts; say what it raised if it did."""
    leaves = enumerate(subject.flat.leaves)
    handed: dict[int, Any] = {i: x.copy() for i, x in leaves if isinstance(x, np.ndarray)}
    seen: list[Any] = [c.copy() for c in cotangents]
    for key, layout in placed.items():
        if isinstance(key, tuple):
            seen[key[1]] = layout.make(cotangents[key[1]])
        else:
            handed[key] = layout.make(subject.flat.leaves[key])
    try:
        pulled = run(subject.rule, subject.flat, handed).pull(
            subject.cotangent_of(cotangents), subject.cotangent_of(seen)
        )
    except RuleError as error:
        return f"the rule raised ({error.__cause__ or error})"
    except Exception as error:
        if is_signal(error):
            return subject.answer.cotangents
        raise
    return pulled.kept if isinstance(pulled, Pulled) else pulled.text


def _constant_cotangent(subject: Subject) -> str:
    """Hand over a cotangent with one stored entry, against the same in full."""
    if not subject.rule.takes_cotangent or all(c.size < 2 for c in subject.cotangents):
        return ""
    # the largest entry of the cotangent itself, so that this is no other regime
    full = [np.full_like(c, c.flat[np.argmax(np.abs(c))]) if c.size else c for c in subject.cotangents]
    layout = next(layout for layout in LAYOUTS if layout.name == "stride-0")
    plain = _asked(subject, {}, full)
    placed: Placed = {("cotangent", i): layout for i, c in enumerate(full) if layout.applies(c)}
    spread = _asked(subject, placed, full)
    if isinstance(plain, str):
        return ""
    if isinstance(spread, str):
        return spread
    return apart(subject, plain, spread, lambda s: noise_at(s, {}, s.cotangent_of(full)))
