"""Hypothesis strategies for what a gradient is checked at: ``from gradcheck import strategies as gst``."""

from gradcheck.strategies.case import Case, WeightedCase
from gradcheck.strategies.cotangents import COTANGENT_KINDS, COTANGENT_REGIMES, cotangent_regimes_of, cotangents
from gradcheck.strategies.labels import Dependent, arguments, labels, weights
from gradcheck.strategies.like import like
from gradcheck.strategies.regime import Regime
from gradcheck.strategies.regimes import REGIMES
from gradcheck.strategies.repeated import calls, layouts
from gradcheck.strategies.softmax import logits, softmax_nll
from gradcheck.strategies.visited import regimes_of

__all__ = [
    "COTANGENT_KINDS",
    "COTANGENT_REGIMES",
    "REGIMES",
    "Case",
    "Dependent",
    "Regime",
    "WeightedCase",
    "arguments",
    "calls",
    "cotangent_regimes_of",
    "cotangents",
    "labels",
    "layouts",
    "like",
    "logits",
    "regimes_of",
    "softmax_nll",
    "weights",
]
