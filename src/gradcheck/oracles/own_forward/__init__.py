"""The exact oracle for NumPy code: the forward itself, run on numbers that are balls and know their derivative."""

from gradcheck.oracles.own_forward.derivative import OwnDerivative, differentiate
from gradcheck.oracles.own_forward.tape import Unserved

__all__ = ["OwnDerivative", "Unserved", "differentiate"]
