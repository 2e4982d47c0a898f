"""Rows whose label is to be ignored get a gradient all the same."""

from __future__ import annotations

from functools import partial

import numpy as np

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Evidence, Finding
from gradcheck.mistakes.making import injected
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Rule
from gradcheck.tree import Array

__all__ = ["MISTAKE"]

_NAME = "ignored rows not zeroed"


def _ignored(setting: Setting) -> Array | None:
    """Tell the rows whose gradient is zero and whose label either names no class or is given as a number beside it."""
    roles = setting.roles
    if roles.logits is None or roles.labels is None or roles.classes is None:
        return None
    labels = np.asarray(setting.flat.leaves[roles.labels])
    numbers = [d.value for d in setting.data if isinstance(d.value, int) and not isinstance(d.value, bool)]
    outside = (labels < 0) | (labels >= roles.classes) | np.isin(labels, numbers)
    found: Array = outside & np.all(setting.gradient[roles.logits] == 0, axis=-1)
    return found if np.any(found) else None


def _as_class(label: int, setting: Setting) -> Gradient | None:
    """Give the gradient with the rows to ignore taken for rows of a class, all else as it is."""
    rows, roles = _ignored(setting), setting.roles
    if rows is None or roles.labels is None or roles.logits is None:
        return None
    labels = np.asarray(setting.flat.leaves[roles.labels])
    counted = setting.at({roles.labels: np.where(rows, label, labels).astype(labels.dtype)})
    if counted is None:
        return None
    found = list(setting.gradient)
    found[roles.logits] = np.where(rows[..., None], counted[roles.logits], found[roles.logits])
    return tuple(found)


def _inject(rule: Rule) -> Rule:
    return injected(rule, partial(_as_class, 0))


def _recognise(context: Context) -> Finding | None:
    """Set the rows to ignore aside: what is left must be right, at other labels too, and they must not be zero."""
    evidence = []
    for sample in context.samples:
        after = sample.remains(_set_aside(sample))
        if not after <= 1.0:
            return None
        evidence.append(Evidence(sample.where, sample.before, after))
    worst = max(context.samples, key=lambda sample: sample.before, default=None)
    rows = None if worst is None or not worst.before > 1.0 else _ignored(worst)
    if rows is None or worst is None or worst.roles.logits is None or not _elsewhere(context):
        return None
    labels, path = np.asarray(worst.flat.leaves[worst.roles.labels or 0])[rows], worst.paths[worst.roles.logits]
    says = f"rows of {path} whose label is to be ignored ({int(labels.flat[0])}) get a gradient, which must be 0"
    change = f"end with gradient *= ({_name(worst)} != {int(labels.flat[0])})[..., None]"
    return Finding(_NAME, says, change, tuple(evidence), worst.point)


def _elsewhere(context: Context) -> bool:
    """Whether there are such rows at other inputs, and wrong ones: if not, it takes more than a label to be wrong."""
    others = [sample for sample in context.samples[1:] if _ignored(sample) is not None]
    return not others or any(sample.before > 1.0 for sample in others)


def _set_aside(sample: Sample) -> Gradient:
    rows, found = _ignored(sample), list(sample.reference)
    if rows is not None and sample.roles.logits is not None:
        slot = sample.roles.logits
        found[slot] = np.where(rows[..., None], sample.analytic[slot], found[slot])
    return tuple(found)


def _name(sample: Sample) -> str:
    return next((d.name for d in sample.data if d.index == sample.roles.labels), "labels")


MISTAKE = Mistake(_NAME, _inject, _recognise, contains=("wrapped label",))
