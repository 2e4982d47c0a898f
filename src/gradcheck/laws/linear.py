"""A pullback is linear in the cotangent: powers of two scale it, zero gives zero, and parts add up."""

from __future__ import annotations

import numpy as np

from gradcheck.laws.breach import Breach
from gradcheck.laws.elsewhere import uniform
from gradcheck.laws.journey import scaled_in_order
from gradcheck.laws.multiples import multiple, scales, times
from gradcheck.laws.noise import Noise, apart, noise_here, rowmax, tiny_of, unit_of
from gradcheck.laws.running import Results
from gradcheck.laws.subject import Subject
from gradcheck.tree import Array

__all__ = ["applies", "broken"]


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
    if scaled_in_order(subject):
        return ""
    for scale in scales(subject):
        if scale == 1.0:
            continue
        found = subject.ask({}, multiple(subject, scale))
        if found is None:
            return f"the rule raised for {scale:g} times the cotangent"
        due = times(subject.answer.cotangents, scale)
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
        if result is not None and np.count_nonzero(result):
            at = tuple(int(i) for i in np.argwhere(result != 0)[0])
            return f"for a cotangent of zeros, {leaf.path}{list(at) or ''} is {float(result[at]):.6g}"
    return ""


def _added(subject: Subject) -> str:
    """Compare the sum of the answers to two parts of the cotangent, entry by entry in one or the other, with the whole.

    Parts are exact, and no larger than the cotangent, so that the noise at the point is theirs too; but answers to
    them may be larger, and cancel.
    """
    if all(c.size < 2 for c in subject.cotangents):
        return ""  # no parts
    masks = [uniform(2, c.shape) < 0.5 for c in subject.cotangents]
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
