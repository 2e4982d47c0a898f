"""The exact oracle for programs: what JAX derived, in ball arithmetic."""

from gradcheck.oracles.balls.enclosure import Balls, Enclosure, enclose, radius
from gradcheck.oracles.balls.values import Unenclosable

__all__ = ["Balls", "Enclosure", "Unenclosable", "enclose", "radius"]
