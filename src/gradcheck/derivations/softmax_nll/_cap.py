r"""A soft cap on the logits, ``s = c tanh(z / c)``, and its slope.

The slope is ``ds/dz = 1 - tanh^2(z / c) = sech^2(z / c)``, and taken as the latter: at ``z = 19 c`` in float64, and
``9 c`` in float32, tanh rounds to 1 and the difference to 0, while sech still has all of its digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradcheck.derivations._arrays import Array, is_concrete
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations.softmax_nll.options import check_number

__all__ = ["Cap"]


class Cap(NamedTuple):
    """A cap of this value, or none."""

    value: float | None

    @classmethod
    def read(cls, softcap: float | None, dtype: np.dtype[Any]) -> Cap:
        """Check the option."""
        return cls(None if softcap is None else check_number("softcap", softcap, dtype))

    def scores(self, z: Array) -> Array:
        """Return the scores of a block of logits; three arrays of its shape live at once, `z` among them."""
        if self.value is None:
            return z
        if is_concrete(z) and z.size and z.min() == -np.inf:
            raise ValueError(
                f"a logit is -inf and softcap={self.value}: the cap would make {-self.value} of a masked class, so "
                "mask after capping, or drop the option"
            )
        with np.errstate(over="ignore"):  # beyond the largest float the cap is reached all the same
            s: Array = self.value * namespace(z).tanh(z / self.value)
        return s

    def slope(self, z: Array) -> Array | None:
        """Return ``ds/dz``, or None where it is 1."""
        if self.value is None:
            return None
        with np.errstate(over="ignore"):  # 1 / inf = 0
            sech = 1 / namespace(z).cosh(z / self.value)
        slope: Array = sech * sech
        return slope

    def chained(self, z: Array, ds: Array) -> Array:
        """Return ``dz = ds ds/dz``; four arrays of the shape of `z` live at once, both arguments among them."""
        slope = self.slope(z)
        return ds if slope is None else ds * slope
