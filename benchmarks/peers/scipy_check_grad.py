"""``scipy.optimize.check_grad``, which gives a distance and no verdict, and takes scalar functions of one vector.

A function with more than one number for a value is contracted with the cotangent. The verdict is by the custom that
a relative error above 1e-4 is a mistake: CS231n calls 1e-2 to 1e-4 a reason to worry, and less than that fine for
a function with kinks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .handwritten import Handwritten
from .objection import Objection

RELATIVE = 1e-4
CRITERION = f"> {RELATIVE:.0e} |finite differences|"


def check(rule: Handwritten) -> None:
    """Lay the primals out in one vector and hold the distance to the norm of the finite differences."""
    optimize: Any = import_module("scipy.optimize")  # typed as Any: it comes without types
    ends = np.cumsum([primal.size for primal in rule.primals])

    def split(x: Any) -> list[Any]:
        parts = np.split(x, ends[:-1])
        return [
            part.reshape(primal.shape).astype(primal.dtype) for part, primal in zip(parts, rule.primals, strict=True)
        ]

    def fun(x: Any) -> Any:
        return np.vdot(rule.cotangent, rule.value(*split(x)))

    def gradient(x: Any) -> Any:
        return np.concatenate([np.ravel(part) for part in rule.linearize(*split(x))[1](rule.cotangent)])

    x = np.concatenate([primal.ravel() for primal in rule.primals])
    distance = optimize.check_grad(fun, gradient, x)
    size = np.linalg.norm(optimize.approx_fprime(x, fun))
    if not distance <= RELATIVE * size:  # a NaN is an objection too, as it is to an assert
        raise Objection(f"check_grad gives {distance:.2g}, where the gradient has a norm of {size:.2g}")
