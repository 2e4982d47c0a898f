"""Where a gradient jumps: close to a kink, the right answer depends on the side."""

from __future__ import annotations

import numpy as np

from gradcheck.mistakes.setting import Setting
from gradcheck.tree import Array
from gradcheck.verdict.outcome import as_float64, rowmax

__all__ = ["NEARER", "jumps", "off_kinks", "step"]

# How far entries are moved off a tie, of the largest of their row: so little that a smooth gradient changes by no more,
# or by a few times that where it is steep, and so much that no narrow format rounds it away.
APART = {8: 2.0**-20, 4: 2.0**-12, 2: 2.0**-5}
# A gradient has jumped if it changes by this part of itself, and for a nearer step by all but this part of that: where
# it is zero at a point, a smooth one changes by all of itself.
JUMP = 2.0**-2
NEARER = 2.0**-4
# Of the largest entry: what is less may be what rounding leaves of summands that cancel, even in float32.
NOISE = 2.0**-20


def step(array: Array) -> Array:
    """Give a step for each entry that is small for its row, and that the array's format does not round away."""
    x = np.abs(as_float64(array))
    sizes = rowmax(np.where(np.isfinite(x), x, 0.0))
    return np.asarray(APART.get(array.dtype.itemsize, APART[2]) * np.where(sizes > 0, sizes, 1.0))


def jumps(far: Array, near: Array, here: Array) -> Array:
    """Tell where a gradient has jumped between here and a near step, of which the far one is 16 times as far."""
    with np.errstate(all="ignore"):
        change, sizes = np.abs(far - here), np.maximum(np.abs(far), np.abs(here))
        large = change > np.maximum(JUMP * sizes, NOISE * np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
        return np.asarray(large & (np.abs(near - far) < JUMP * change))


def off_kinks(setting: Setting, rng: np.random.Generator) -> dict[int, Array] | None:
    """Move each entry a little, so that nothing coincides any more; None unless the gradient jumps on the way.

    On one side it may be the subgradient that the oracle chose, so the other is tried as well.
    """
    # each entry by a length of its own, since entries that are tied stay so if moved by the same
    steps = {leaf.index: rng.choice([-1, 1], leaf.array.shape) * rng.uniform(0.5, 1.0, leaf.array.shape)
             for leaf in setting.leaves}  # fmt: skip
    for sign in (1.0, -1.0):
        far, near = (_beside(setting, steps, sign * scale) for scale in (1.0, NEARER))
        found = [setting.at(changes) for changes in (far, near)]
        if found[0] is None or found[1] is None:
            continue
        if any(np.any(jumps(*row)) for row in zip(found[0], found[1], setting.gradient, strict=True)):
            return far
    return None


def _beside(setting: Setting, steps: dict[int, Array], scale: float) -> dict[int, Array]:
    return {
        leaf.index: np.asarray(leaf.array + (scale * step(leaf.array) * steps[leaf.index])).astype(leaf.array.dtype)
        for leaf in setting.leaves
    }
