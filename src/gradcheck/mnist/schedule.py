"""Schedules: how the learning rate changes over a run.

A schedule is a function ``(step, total) -> factor`` of the step about to be taken, 0 to ``total - 1``, and the
number of steps in the whole run. The factor, above 0 and at most 1, multiplies the run's learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, cos, pi
from typing import Final, TypeAlias

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "step_decay"]

Schedule: TypeAlias = Callable[[int, int], float]

# Goyal et al. (2017) warm up for 5 epochs of 90, which is 0.056.
_WARM_UP: Final = 0.05


def constant(step: int, total: int) -> float:  # noqa: ARG001  the signature of a schedule
    """Leave the learning rate as it is."""
    return 1.0


def cosine(step: int, total: int) -> float:
    """Rise linearly over the first twentieth of the run, then fall along half a cosine wave.

    The warm-up follows Goyal et al. (*Accurate, large minibatch SGD*, 2017, section 2.2), the fall Loshchilov and
    Hutter (*SGDR*, ICLR 2017, eq. 5) with a single period and its end at 0. The last step's factor is just
    above 0, so no step is wasted.

    Examples
    --------
    >>> [round(cosine(step, 40), 3) for step in (0, 1, 2, 21, 39)]
    [0.5, 1.0, 1.0, 0.5, 0.002]
    """
    rising = ceil(_WARM_UP * total)
    if step < rising:
        return (step + 1) / rising
    return (1 + cos(pi * (step - rising) / (total - rising))) / 2


def step_decay(step: int, total: int) -> float:
    """Divide by ten after half of the run and again after three quarters.

    The places and the factor are those of He, Zhang, Ren and Sun (*Deep residual learning*, CVPR 2016, section 4.2):
    after 32k and 48k of 64k steps.

    Examples
    --------
    >>> [step_decay(step, 8) for step in (0, 3, 4, 5, 6, 7)]
    [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
    """
    if 2 * step < total:
        return 1.0
    return 0.1 if 4 * step < 3 * total else 0.01


SCHEDULES: Final[Mapping[str, Schedule]] = {"constant": constant, "cosine": cosine, "step": step_decay}
