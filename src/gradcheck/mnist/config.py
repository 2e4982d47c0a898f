"""Everything that decides how a run goes, checked before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, TypeAlias

import numpy as np

from gradcheck.derivations.activations import ACTIVATIONS
from gradcheck.errors import InvalidArgument
from gradcheck.mnist.optim import Optimiser, find_optimiser
from gradcheck.mnist.schedule import SCHEDULES

__all__ = ["Config", "FloatName"]

FloatName: TypeAlias = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """How to train. The defaults reach about 98.4 % of MNIST's test digits.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers. ``()``, no hidden layer, is softmax regression.
    activation : {"relu", "sigmoid", "tanh"}
        Of the hidden layers.
    optimiser : {"sgd", "momentum", "adam"} or Optimiser
        Such as ``Momentum(decay=0.95)``.
    learning_rate : float, optional
        Largest learning rate of the run. Left out, the optimiser's default for the batch size, see `rate`.
    schedule : {"constant", "cosine", "step"}
        How the learning rate changes over the run, see `gradcheck.mnist.schedule`.
    batch_size : int
        Digits for each update. 1 updates after every digit. The last batch of an epoch holds what is left.
    epochs : int
        Passes over the training digits. 0 measures only.
    seed : int
        Of the first weights and of the order of the digits.
    l2 : float
        Strength of the penalty on weights, see `gradcheck.derivations.l2_penalty`.
    dtype : {"float32", "float64"}
        Of the parameters and of all arithmetic.
    digits : tuple of int, optional
        Train and test on these digits only, one output neuron for each, in this order.
    limit : int, optional
        Train on the first so many digits only. Test digits are not limited.
    stop_on_divergence : bool
        Raise `TrainingDiverged` when the loss stops being finite. False goes on, to see what happens.

    Raises
    ------
    InvalidArgument
        A value cannot mean anything; the message says which, and what to pass.

    Examples
    --------
    >>> Config(hidden=(), optimiser="sgd", batch_size=1).rate
    0.00390625
    """

    hidden: tuple[int, ...] = (512,)
    activation: str = "relu"
    optimiser: str | Optimiser = "adam"
    learning_rate: float | None = None
    schedule: str = "cosine"
    batch_size: int = 128
    epochs: int = 10
    seed: int = 0
    l2: float = 0.0
    dtype: FloatName = "float32"
    digits: tuple[int, ...] | None = None
    limit: int | None = None
    stop_on_divergence: bool = True

    def __post_init__(self) -> None:
        for name in ("hidden", "digits"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _integers(name, value))
        find_optimiser(self.optimiser)
        _one_of("activation", self.activation, ACTIVATIONS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("dtype", self.dtype, ("float32", "float64"))
        for name, least in (("batch_size", 1), ("epochs", 0), ("seed", 0), ("limit", 1)):
            if (value := getattr(self, name)) is not None or name != "limit":
                object.__setattr__(self, name, _whole(name, value, least))
        if self.learning_rate is not None and not _real(self.learning_rate, above=0):
            raise InvalidArgument(
                f"learning_rate={self.learning_rate!r}: pass a finite number above 0, or None for the default"
            )
        if not (_real(self.l2, above=0) or self.l2 == 0):
            raise InvalidArgument(f"l2={self.l2!r}: pass a finite number, 0 or above; 0 is no penalty")

    @property
    def rate(self) -> float:
        """The largest learning rate of the run: what was asked for, or the optimiser's default."""
        if self.learning_rate is not None:
            return self.learning_rate
        return find_optimiser(self.optimiser).default_rate(self.batch_size)


def _integers(name: str, value: Any) -> tuple[int, ...]:
    """Read a sequence of integers, so that a list, or NumPy's integers, make an equal `Config`."""
    least = 1 if name == "hidden" else 0
    try:
        values = tuple(value)
    except TypeError:
        values = (None,)
    if isinstance(value, str) or not all(_is_whole(each, least) for each in values):
        example = "(256,) or ()" if name == "hidden" else "(1, 2, 3)"
        raise InvalidArgument(f"{name}={value!r}: pass integers of at least {least}, as in {example}")
    return tuple(map(int, values))


def _whole(name: str, value: Any, least: int) -> int:
    if not _is_whole(value, least):
        raise InvalidArgument(f"{name}={value!r}: pass an integer of at least {least}")
    return int(value)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def _real(value: Any, *, above: float) -> bool:
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return number and isfinite(value) and bool(value > above)


def _one_of(name: str, value: Any, choices: Any) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InvalidArgument(f"{name}={value!r} is unknown: pass one of {', '.join(choices)}")
