"""Random parameters to start a multilayer perceptron from."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array
from gradcheck.derivations.activations import ACTIVATIONS

__all__ = ["init_params"]


def init_params(
    sizes: Sequence[int], *, seed: int, dtype: npt.DTypeLike = np.float32, activation: str = "relu"
) -> dict[str, Array]:
    """Draw weights whose size keeps the signal's, and biases of zero.

    ``W`` of shape (K, H) is normal with mean 0 and variance

    - ``2 / H`` below a ReLU, which passes half of the power it gets (He, Zhang, Ren and Sun, *Delving deep
      into rectifiers*, ICCV 2015, eq. 10);
    - ``2 / (H + K)`` elsewhere, the compromise between constant variance forwards, 1/H, and backwards, 1/K
      (Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*,
      AISTATS 2010, eq. 12). The output layer is such a place: no ReLU follows.

    Parameters
    ----------
    sizes : sequence of int
        Features in, hidden widths, classes out: (784, 128, 10) makes two layers, (784, 10) softmax
        regression.
    seed : int
        The same seed draws the same numbers for every dtype, rounded to it.
    dtype : dtype
        A floating one.
    activation : {"relu", "sigmoid", "tanh"}
        Of the hidden layers.

    Returns
    -------
    dict
        ``{"W1": (K, H), "b1": (K,), "W2": ...}``, C-ordered.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, one is not a positive integer, `dtype` is not floating, or the
        activation is unknown.

    Examples
    --------
    >>> {name: value.shape for name, value in init_params((784, 128, 10), seed=0).items()}
    {'W1': (128, 784), 'b1': (128,), 'W2': (10, 128), 'b2': (10,)}
    """
    if len(sizes) < 2 or not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
        raise ValueError(f"sizes={sizes!r}: pass at least two positive integers, as in (784, 128, 10)")
    if not np.issubdtype(dtype, np.floating):
        raise ValueError(f"dtype={dtype!r} is not floating: pass one that is, such as np.float32")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r} is unknown: pass one of {sorted(ACTIVATIONS)}")
    generator = np.random.default_rng(seed)
    last = len(sizes) - 1
    params: dict[str, Array] = {}
    for layer in range(1, len(sizes)):
        fan_in, fan_out = sizes[layer - 1], sizes[layer]
        he = activation == "relu" and layer < last
        deviation = sqrt(2 / fan_in) if he else sqrt(2 / (fan_in + fan_out))
        params[f"W{layer}"] = (deviation * generator.standard_normal((fan_out, fan_in))).astype(dtype)
        params[f"b{layer}"] = np.zeros(fan_out, dtype)
    return params
