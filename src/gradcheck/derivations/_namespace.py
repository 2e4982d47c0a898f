"""Which array library the arrays at hand belong to, so that one text serves NumPy and jax.numpy."""

from __future__ import annotations

from types import ModuleType

import numpy as np

__all__ = ["namespace"]


def namespace(*arrays: object) -> ModuleType:
    """Return the module whose functions apply to all of `arrays`.

    The array API's ``__array_namespace__`` names it. Whatever has no such method (a list, a Python
    number, an old NumPy scalar) counts as NumPy, and NumPy yields to the other library where the two
    meet, since ``jax.numpy`` takes NumPy arrays and not the other way round.

    Parameters
    ----------
    *arrays : object
        Arrays, array-likes or tracers, of any shape and dtype.

    Returns
    -------
    module
        ``numpy``, or the one other namespace that was met.

    Raises
    ------
    ValueError
        If two libraries other than NumPy meet.

    Examples
    --------
    >>> namespace(np.zeros(3), [1.0, 2.0]).__name__
    'numpy'
    """
    met = {a.__array_namespace__() for a in arrays if hasattr(a, "__array_namespace__")} - {np}
    if len(met) > 1:
        names = ", ".join(sorted(module.__name__ for module in met))
        raise ValueError(f"the arrays belong to more than one library ({names}): convert them to one")
    return met.pop() if met else np
