"""What a numerical oracle hands back: a value, and an error that it vouches for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcheck.errors import InvalidArgument
from gradcheck.tree import every

__all__ = ["Estimate", "FloatArray"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A derivative as one oracle sees it.

    Parameters
    ----------
    oracle : str
        Who says so: ``"finite differences"``, ``"complex step"``, ...
    value : array of float64
        The derivative; of shape ``()`` where it is one along a direction.
    error : array of float64
        Same shape: the oracle vouches that the truth lies within ``value ± error``. NaN means that it does not
        know, which can never make a pass.
    detail : str
        One phrase for the report: what limits the error, or why it is unknown.
    kink : bool
        Whether the one-sided derivatives were seen to differ; ``value ± error`` then covers both.
    evaluations : int
        How often the forward was run.

    Raises
    ------
    InvalidArgument
        If ``error`` has another shape than ``value``, or is negative anywhere.

    Examples
    --------
    >>> slope = Estimate("finite differences", np.array(2.0), np.array(1e-11))
    >>> slope.known
    True
    >>> Estimate.unknown("complex step", "the forward refuses complex numbers").known
    False
    """

    oracle: str
    value: FloatArray
    error: FloatArray
    detail: str = ""
    kink: bool = False
    evaluations: int = 0

    def __post_init__(self) -> None:
        if self.value.shape != self.error.shape:
            raise InvalidArgument(
                f"{self.oracle}: the error has shape {self.error.shape} where the value has {self.value.shape}; "
                "give one error per entry"
            )
        if not every(~(self.error < 0)):
            raise InvalidArgument(f"{self.oracle}: an error of {self.error.min():g} bounds nothing; give its size")

    @classmethod
    def unknown(cls, oracle: str, reason: str, *, evaluations: int = 0) -> Estimate:
        """Say that an oracle has no answer along this line, and why."""
        return cls(oracle, np.array(math.nan), np.array(math.nan), reason, evaluations=evaluations)

    @property
    def known(self) -> bool:
        """Whether every entry has a finite error."""
        return every(np.isfinite(self.error))
