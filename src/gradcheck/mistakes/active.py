"""Only the active neuron: the loss reads one output, and yet its gradient reaches all, since softmax couples them."""

from __future__ import annotations

import numpy as np

from gradcheck.mistakes.drawing import softened
from gradcheck.mistakes.making import one_idea, surer
from gradcheck.mistakes.onehot import push_of, replaced
from gradcheck.mistakes.parts import softmax
from gradcheck.mistakes.setting import Gradient, Setting

__all__ = ["MISTAKES"]


def _at_labels(setting: Setting) -> Gradient | None:
    """Keep the entries of the labels, and nothing else."""
    roles = setting.roles
    onehot = roles.onehot(setting.flat)
    if onehot is None or roles.logits is None:
        return None
    return replaced(setting, np.where(onehot != 0, setting.gradient[roles.logits], 0.0))


def _straight(setting: Setting) -> Gradient | None:
    """Push dC/da = -y/a back as if activations were logits."""
    push = push_of(setting)
    if push is None or setting.roles.logits is None:
        return None
    if setting.parts is not None:
        a = setting.parts.softmax
    else:
        a = softmax(setting.leaves[setting.roles.logits].array.astype(np.float64))
    with np.errstate(all="ignore"):
        return replaced(setting, np.where(push != 0, -push / a, 0.0))


MISTAKES = (
    surer(
        one_idea(
            "only the active neuron",
            _at_labels,
            "only the label's entry of each row is right, and all others are zero: softmax couples the neurons, so all "
            "of them have a gradient",
            "return softmax - onehot(label) for the whole row: the other entries are the softmax itself, scaled",
        ),
        lambda sample: (softened(sample),),  # all labels of a row are active where it has several
        "labels soft",
    ),
    one_idea(
        "no softmax Jacobian",
        _straight,
        "this is dC/da, -1/a at the label and zero elsewhere, passed on as dC/dz: softmax has not been differentiated",
        "multiply by the Jacobian of softmax, a_i ([i = k] - a_k): together that is softmax - onehot(label)",
    ),
)
