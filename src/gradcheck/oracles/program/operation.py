"""What the modules that evaluate primitives share: their types, and the exception for what they lack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Array", "Binder", "Operation", "Params", "Untraceable"]

Array = np.ndarray[Any, np.dtype[Any]]
Operation = Callable[..., Any]
Params = Mapping[str, Any]
Binder = Callable[[Params], Operation]


class Untraceable(Exception):
    """JAX cannot trace the reference, or its program has a primitive this interpreter lacks."""
