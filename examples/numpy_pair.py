"""Check a loss and its gradient in NumPy: a wrong one, what the check says of it, and the right one.

Run it: ``python examples/numpy_pair.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import gradcheck

Array = npt.NDArray[Any]


def ridge(w: Array, X: Array, t: Array) -> Any:
    """Mean squared error of a linear model, plus a penalty on its weights: X (N, D), targets t (N,), w (D,)."""
    return np.mean((X @ w - t) ** 2) + 0.1 * np.sum(w**2)


def wrong_grad(w: Array, X: Array, t: Array) -> Array:
    """Forget that the penalty is differentiated, too."""
    grad: Array = 2 * X.T @ (X @ w - t) / len(t) + 0.1 * w
    return grad


def right_grad(w: Array, X: Array, t: Array) -> Array:
    grad: Array = 2 * X.T @ (X @ w - t) / len(t) + 0.2 * w
    return grad


def main() -> None:
    w, X, t = np.array([1.0, -3.0]), np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 1.0]]), np.array([1.0, 0.0, 2.0])

    # One point. The report of a wrong gradient says where it is wrong, by how much, and who says so.
    print(gradcheck.examine(gradcheck.from_loss(ridge, wrong_grad), w, X, t))
    print()

    # Many points like this one: values, scales and rows vary. A wrong gradient would raise GradientMismatch here.
    print(gradcheck.verify(gradcheck.from_loss(ridge, right_grad), like=(w, X, t), seed=0))


if __name__ == "__main__":
    main()
