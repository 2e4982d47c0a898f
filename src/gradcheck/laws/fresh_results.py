"""Results lie in memory of their own: not in that of the arguments, of each other, or of earlier results."""

from __future__ import annotations

from itertools import combinations

from gradcheck.laws.breach import Breach
from gradcheck.laws.journey import answers, in_order
from gradcheck.laws.no_state import late
from gradcheck.laws.running import difference, overlap
from gradcheck.laws.subject import Subject

__all__ = ["applies", "broken"]


def applies(_subject: Subject) -> str | None:
    """Apply to every rule."""
    return None


def broken(subject: Subject) -> Breach | None:
    """Compare the memory of all results so far, and see that the first are still what they were."""
    given = []
    for pulled in answers(subject) if in_order(subject) else (*answers(subject), subject.recall(late)):
        if isinstance(pulled, Breach):
            return pulled
        if shared := pulled.shared_with_inputs():
            return Breach("fresh results", f"the cotangent of {shared} shares memory with an argument or with "
                          "the cotangent that came in: return a copy")  # fmt: skip
        if shared := pulled.shared_within():
            return Breach("fresh results", f"the cotangents of {shared} share memory: return two arrays")
        given.append(pulled)
    for earlier, later in combinations(given, 2):
        for leaf, a, b in zip(subject.flat.differentiated, earlier.results, later.results, strict=True):
            if a is not None and b is not None and overlap(a, b):
                return Breach("fresh results", f"the cotangents of {leaf.path} from two calls share memory: "
                              "return a new array each time")  # fmt: skip
    for pulled in given:
        if found := difference(subject.flat, pulled.kept, pulled.results):
            return Breach("fresh results", f"{found} after later calls: return a new array each time")
    return None
