"""Hypothesis strategies for what a gradient is checked at: ``from gradcheck import strategies as gst``."""

from gradcheck.strategies.cotangents import COTANGENT_KINDS, cotangents
from gradcheck.strategies.labels import Dependent, arguments, labels
from gradcheck.strategies.like import like
from gradcheck.strategies.regime import Regime
from gradcheck.strategies.regimes import REGIMES, regimes_of
from gradcheck.strategies.softmax import Case, logits, softmax_nll

__all__ = [
    "COTANGENT_KINDS",
    "REGIMES",
    "Case",
    "Dependent",
    "Regime",
    "arguments",
    "cotangents",
    "labels",
    "like",
    "logits",
    "regimes_of",
    "softmax_nll",
]
