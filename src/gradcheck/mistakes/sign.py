"""The sign: the gradient of minus the function."""

from __future__ import annotations

from gradcheck.mistakes.making import one_idea
from gradcheck.mistakes.setting import Gradient, Setting

__all__ = ["MISTAKE"]


def _negative(setting: Setting) -> Gradient:
    return tuple(-g for g in setting.gradient)


MISTAKE = one_idea(
    "sign",
    _negative,
    "every entry has the wrong sign: this is the gradient of minus the function",
    "negate what the gradient returns",
)
