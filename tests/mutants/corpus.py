"""Every specimen: the gradients that a checker must catch, and those that it must let pass."""

from __future__ import annotations

from . import right, wrong_contract, wrong_layers, wrong_numerics, wrong_softmax_nll
from .specimen import Specimen, specimens_in

WRONG: tuple[Specimen, ...] = (
    *specimens_in(wrong_softmax_nll),
    *specimens_in(wrong_numerics),
    *specimens_in(wrong_layers),
    *specimens_in(wrong_contract),
)
RIGHT: tuple[Specimen, ...] = specimens_in(right)
