"""Verify: one rule over many drawn points, through Hypothesis."""

from gradcheck.verification.parametrized import parametrize
from gradcheck.verification.verifying import verify

__all__ = ["parametrize", "verify"]
