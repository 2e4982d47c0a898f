"""What the loop differentiates, and where it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from gradcheck.derivations import init_params, mlp, softmax_nll
from gradcheck.derivations.l2 import DictPullback
from gradcheck.errors import InvalidArgument
from gradcheck.mnist.config import Config
from gradcheck.mnist.data import Digits
from gradcheck.mnist.losses import Array, Loss
from gradcheck.mnist.model import Model
from gradcheck.mnist.optim import Arrays

__all__ = ["Objective", "model_rule", "nan_where_overflown", "objective", "select", "untrained"]

Objective: TypeAlias = Callable[[Arrays, Array, Array], tuple[Array, DictPullback]]


def objective(config: Config, loss: Loss) -> Objective:
    """Make the rule ``(params, x, y) -> (loss, pullback)`` of a run, penalty included."""
    return partial(mlp, activation=config.activation, loss=loss, l2=config.l2)


def model_rule(
    config: Config, digits: Digits, *, loss: Loss = softmax_nll.fused, examples: int = 4, widest: int = 8
) -> tuple[Objective, tuple[Arrays, Array, Array]]:
    """Give what the loop differentiates, and a point to check its gradient at before the loop relies on it.

    Parameters
    ----------
    config, loss
        Of the run to come.
    digits : Digits
        The training digits.
    examples, widest : int
        How many digits, and at most how many units in a hidden layer, the point has. The code is the same
        for any number, and a check costs far more than a step.

    Returns
    -------
    rule : callable
        ``rule(params, x, y) -> (loss, pullback)``, with the activation, loss and penalty of the run.
    point : tuple
        ``(params, x, y)``: float64 parameters by name, float64 inputs of shape (examples, pixels), labels.
        It is in general position, which the start of a run is not: there the output weights are 0, so that no
        gradient reaches the layers below, and neither would a mistake in them.

    Raises
    ------
    InvalidArgument
        `config.digits` names a digit that there is not.

    Examples
    --------
    >>> from gradcheck.mnist.data import load
    >>> rule, point = model_rule(Config(hidden=(256,)), load("train", "sample"))
    >>> {name: w.shape for name, w in point[0].items()}
    {'W1': (8, 784), 'b1': (8,), 'W2': (10, 8), 'b2': (10,)}
    >>> loss, pullback = rule(*point)
    """
    chosen = select(config, digits, most=examples)
    small = replace(config, hidden=tuple(min(width, widest) for width in config.hidden), dtype="float64")
    model = untrained(small, chosen, zero_output=False)
    generator = np.random.default_rng(config.seed)
    params = {
        name: generator.standard_normal(w.shape) if name.startswith("b") else w for name, w in model.params.items()
    }
    return objective(config, loss), (params, model.inputs(chosen.images), chosen.labels.astype(np.intp))


def select(config: Config, digits: Digits, *, most: int | None = None) -> Digits:
    """Take the digits that a run is about, and of those the first so many."""
    if config.digits is not None:
        digits = digits.select(config.digits)
    return digits if most is None else replace(digits, images=digits.images[:most], labels=digits.labels[:most])


def untrained(config: Config, digits: Digits, *, zero_output: bool = True) -> Model:
    """Make the classifier to start from.

    Its output weights are 0, which makes the first loss log K exactly, whatever the seed, so that a loss that
    starts elsewhere is seen to be wrong. Softmax regression is convex and needs no better start; in a deeper
    network the hidden weights are random, and that is enough to tell units apart.

    Raises
    ------
    InvalidArgument
        All pixels are equal.
    """
    rows, columns = digits.images.shape[1:]
    sizes = (rows * columns, *config.hidden, len(digits.classes))
    seed = np.random.SeedSequence(config.seed, spawn_key=(0,)).generate_state(1, np.uint64)[0]
    params = init_params(sizes, seed=int(seed), dtype=config.dtype, activation=config.activation)
    if zero_output:
        params[f"W{len(sizes) - 1}"][:] = 0
    mean, deviation = _ink(digits)
    return Model(params, config.activation, mean, deviation, (rows, columns), digits.classes)


def nan_where_overflown(loss: Loss) -> Loss:
    """Give logits that have overflown the loss NaN, where a loss might raise: divergence has one face only."""

    def guarded(z: Array, y: Array, *, reduction: str) -> tuple[Any, Callable[[Any], Array]]:
        if np.isfinite(z).all():
            return loss(z, y, reduction=reduction)
        return np.nan, lambda ct: np.full_like(z, ct * np.nan)

    return guarded


def _ink(digits: Digits) -> tuple[float, float]:
    """Mean and standard deviation of the pixels, as fractions of 255, from integer sums, which are exact."""
    pixels = digits.images.reshape(-1)
    total = int(pixels.sum(dtype=np.uint64))
    # einsum casts in small blocks, where np.square would copy all of MNIST at eight bytes a pixel.
    squares = int(np.einsum("i,i->", pixels, pixels, dtype=np.uint64, casting="safe"))
    variance = (len(pixels) * squares - total**2) / len(pixels) ** 2
    if variance == 0:
        raise InvalidArgument(f"{digits.source}: every pixel is {pixels[0]}: pass digits that differ")
    return total / len(pixels) / 255, variance**0.5 / 255
