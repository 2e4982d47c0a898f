"""A pullback is linear in the cotangent: powers of two scale it, zero gives zero, and parts add up."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.noise import Noise, apart, noise_here, rowmax, tiny_of, unit_of
from gradcheck.laws.running import Results
from gradcheck.laws.subject import Subject
from gradcheck.tree import Array

__all__ = ["applies", "broken"]

# Powers of two, so that scaling rounds nothing. The sign shows an absolute value, the large one what is clipped, the
# small one what is added to every cotangent or cut off below a threshold.
_SCALES = (-2.0, 2.0**6, 2.0**-10)
_NARROW_SCALES = (-2.0, 2.0**3, 2.0**-4)  # float16 ends at 2^16 and rounds to multiples of 2^-24


def applies(subject: Subject) -> str | None:
    """Require a cotangent to be linear in, which a pair of loss and gradient has not."""
    if not subject.rule.takes_cotangent:
        return "a pair of loss and gradient takes no cotangent"
    return subject.irregular


def broken(subject: Subject) -> Breach | None:
    """Ask for multiples of the cotangent, for zero, and for two parts of it."""
    found = _scaled(subject) or _nothing(subject) or _added(subject)
    return Breach("linear", f"{found}: the gradient must be linear in the cotangent") if found else None


def _scaled(subject: Subject) -> str:
    narrow = any(c.dtype.itemsize < 4 for c in subject.cotangents)
    for scale in _NARROW_SCALES if narrow else _SCALES:
        with np.errstate(all="ignore"):
            scaled = [c * c.dtype.type(scale) for c in subject.cotangents]
        if any(np.any(s / s.dtype.type(scale) != c) for s, c in zip(scaled, subject.cotangents, strict=True)):
            continue  # it overflows or underflows
        found = subject.ask({}, subject.cotangent_of(scaled))
        if found is None:
            return f"the rule raised for {scale:g} times the cotangent"
        with np.errstate(all="ignore"):
            due = tuple(None if a is None else a * a.dtype.type(scale) for a in subject.answer.cotangents)
        noise = _at_scale(abs(scale))
        if difference := apart(subject, due, found, noise):
            return f"for {scale:g} times the cotangent, {difference}"
    return ""


def _at_scale(scale: float) -> Noise:
    def noise(subject: Subject) -> list[Array]:
        leaves = subject.flat.differentiated
        pairs = zip(leaves, subject.recall(noise_here), strict=True)
        return [about * scale + tiny_of(leaf.array.dtype) for leaf, about in pairs]

    return noise


def _nothing(subject: Subject) -> str:
    found = subject.ask({}, subject.cotangent_of([np.zeros_like(c) for c in subject.cotangents]))
    if found is None:
        return "the rule raised for a cotangent of zeros"
    for leaf, result in zip(subject.flat.differentiated, found, strict=True):
        if result is not None and np.any(result != 0):
            at = tuple(int(i) for i in np.argwhere(result != 0)[0])
            return f"for a cotangent of zeros, {leaf.path}{list(at) or ''} is {float(result[at]):.6g}"
    return ""


def _added(subject: Subject) -> str:
    """Compare the sum of the answers to two parts of the cotangent, entry by entry in one or the other, with the whole.

    Parts are exact, and no larger than the cotangent, so that the noise at the point is theirs too; but answers to
    them may be larger, and cancel.
    """
    rng = np.random.default_rng(2)
    masks = [rng.random(c.shape) < 0.5 for c in subject.cotangents]
    parts = [
        [np.where(mask == side, c, np.zeros((), c.dtype)) for c, mask in zip(subject.cotangents, masks, strict=True)]
        for side in (True, False)
    ]
    if not all(any(np.any(p != 0) for p in part) for part in parts):
        return ""
    one, other = (subject.ask({}, subject.cotangent_of(part)) for part in parts)
    if one is None or other is None:
        return "the rule raised for a part of the cotangent"
    pairs = zip(one, other, strict=True)
    total = tuple(None if a is None or b is None else a + b for a, b in pairs)
    difference = apart(subject, total, subject.answer.cotangents, _of_parts(one, other))
    return f"where two parts of the cotangent add up, {difference}" if difference else ""


def _of_parts(*parts: Results) -> Noise:
    def noise(subject: Subject) -> list[Array]:
        found = list(subject.recall(noise_here))
        for k, leaf in enumerate(subject.flat.differentiated):
            sizes = [rowmax(np.abs(np.asarray(p[k], dtype=np.float64))) for p in parts if p[k] is not None]
            found[k] = found[k] + unit_of(leaf.array.dtype) * np.sum(sizes, axis=0)
        return found

    return noise
