"""Which layout each array is handed over in, and what the rule answers then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws.running import Pulled, Results, copies, is_signal, moved, run
from gradcheck.laws.subject import Changes, Subject
from gradcheck.layouts import LAYOUTS, Layout
from gradcheck.tree import Array

__all__ = ["TURNS", "Key", "Placed", "arrays_of", "asked_as_placed", "placed", "shared"]

TURNS = range(len(LAYOUTS) - 1)  # the first is the plain one, in which everything is asked anyway

Key = int | tuple[str, int]  # leaves by index; of the cotangent: ("cotangent", index)
Placed = Mapping[Key, Layout]


def arrays_of(subject: Subject) -> dict[Key, Array]:
    """Give every array that is handed to a rule."""
    found: dict[Key, Array] = {i: leaf for i, leaf in enumerate(subject.flat.leaves) if isinstance(leaf, np.ndarray)}
    if subject.rule.takes_cotangent:
        found |= {("cotangent", i): c for i, c in enumerate(subject.cotangents)}
    return found


def placed(subject: Subject, turn: int) -> Placed:
    """Choose a layout for each array, another one for each, and the next one of each at the next turn."""
    wanted = [(key, a, LAYOUTS[1 + (turn + k) % len(TURNS)]) for k, (key, a) in enumerate(arrays_of(subject).items())]
    return {key: layout for key, array, layout in wanted if layout.applies(array)}


def shared(subject: Subject, nth: int) -> Placed:
    """Choose layouts for what is asked anyway, where points share out the layouts; none where each tries them all."""
    return {} if subject.thorough else placed(subject, subject.fingerprint + nth)


def asked_as_placed(
    subject: Subject, chosen: Placed, changes: Changes, cotangents: list[Array]
) -> Results | str | None:
    """Ask the rule with some arrays in other layouts; say what it raised if it did; None outside its domain."""
    if not subject.flat.holds(changes):
        return None
    flat = moved(subject.flat, changes)
    handed: dict[int, Any] = copies(flat)
    seen: list[Any] = [c.copy() for c in cotangents]
    for key, layout in chosen.items():
        if isinstance(key, tuple):
            seen[key[1]] = layout.make(cotangents[key[1]])
        else:
            handed[key] = layout.make(handed[key])
    try:
        with np.errstate(all="ignore"):
            pulled = run(subject.rule, flat, handed).pull(subject.cotangent_of(cotangents), subject.cotangent_of(seen))
    except RuleError as error:
        return f"the rule raised ({error.__cause__ or error})"
    except Exception as error:
        if is_signal(error):
            return None
        raise
    return pulled.kept if isinstance(pulled, Pulled) else pulled.text
