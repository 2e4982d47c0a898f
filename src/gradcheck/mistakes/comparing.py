"""How far an answer is from a predicted one."""

from __future__ import annotations

import numpy as np

from gradcheck.tree import Array
from gradcheck.verdict.allowance import SAFETY
from gradcheck.verdict.outcome import rowmax

__all__ = ["excess"]


def excess(analytic: Array, predicted: Array, reference: Array, allowed: Array, unit: float) -> float:
    """Give the worst difference in allowances; NaN or infinite entries agree where both are the same.

    What is predicted may be larger than the reference, and is then off by more: multiplied by the temperature's
    square, a gradient has its rounding multiplied as well. Hence the allowance grows by the ratio of the largest
    entries, and by a few roundings of the predicted row. It grows by no more than ``1 / sqrt(u)``, since beyond that
    half of all digits would go unlooked at.
    """
    if predicted.shape != analytic.shape:
        return np.inf
    with np.errstate(all="ignore"):
        same = (analytic == predicted) | (np.isnan(analytic) & np.isnan(predicted))
        if np.all(same):
            return 0.0
        sizes = [float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x))) for x in (predicted, reference)]
        growth = min(max(sizes[0] / sizes[1], 1.0), unit**-0.5) if sizes[1] > 0 else 1.0
        larger = np.where(np.isfinite(predicted), np.abs(predicted), 0.0)
        room = growth * allowed + SAFETY * unit * rowmax(larger)
        ratio = np.abs(analytic - predicted) / np.maximum(room, np.finfo(float).tiny)
    ratio = np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio))
    return float(np.max(ratio, initial=0.0))
