"""The rule's own value must be its forward's: a right derivative of another function is no derivative of this one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradcheck.laws import Breach
from gradcheck.tree import Array
from gradcheck.verdict.allowance import FLOAT64, allowed_difference, precision_of
from gradcheck.verdict.case import Case
from gradcheck.verdict.compare import value_agrees
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.outcome import as_float64

__all__ = ["other_value"]


def other_value(
    case: Case, forward: Sequence[Array], rule: Sequence[Array], reference: Evidence | None
) -> Breach | None:
    """Hold the value that came with the pullback to the forward's, up to the rounding of its own precision.

    Parameters
    ----------
    case : Case
        The rule and the point.
    forward : sequence of array
        Values of the forward in float64.
    rule : sequence of array
        Values that the rule returned beside its pullback, in its own precision.
    reference : Evidence, or None
        If there is one, its conditioning says how far rounding may move a value.
    """
    if [v.shape for v in rule] != [v.shape for v in forward]:
        shapes = f"{[v.shape for v in rule]} where its forward has {[v.shape for v in forward]}"
        return Breach("primal", f"the rule's value has shape {shapes}")
    for i, (mine, its) in enumerate(zip(rule, forward, strict=True)):
        precision = max(precision_of(mine.dtype), case.coarsest, key=lambda p: p.unit)
        if reference is not None:
            same = value_agrees(as_float64(mine), reference, i, precision)
        else:
            size = case.contraction.noise / FLOAT64.unit
            allowed = allowed_difference(its, np.zeros(its.shape), precision, size)
            same = bool(np.all(np.abs(as_float64(mine) - its) <= allowed))
        same = same or not bool(np.all(np.isfinite(mine)))  # an overflow is no other function; the judge says so
        if not same:
            at = np.unravel_index(int(np.argmax(np.abs(as_float64(mine) - its))), its.shape)
            return Breach("primal", f"the rule's value is {mine[at]!s} where its forward's is {its[at]:.17g}: "
                          "they are not one function")  # fmt: skip
    return None
