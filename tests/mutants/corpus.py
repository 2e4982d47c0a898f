"""Every specimen: the gradients that a checker must catch, and those that it must let pass."""

from __future__ import annotations

from . import (
    right,
    right_blocks,
    right_losses,
    wrong_blocks,
    wrong_contract,
    wrong_labels,
    wrong_layers,
    wrong_layout,
    wrong_logits,
    wrong_norms,
    wrong_numerics,
    wrong_softmax_nll,
)
from .specimen import Specimen, specimens_in

WRONG: tuple[Specimen, ...] = (
    *specimens_in(wrong_softmax_nll),
    *specimens_in(wrong_labels),
    *specimens_in(wrong_logits),
    *specimens_in(wrong_numerics),
    *specimens_in(wrong_blocks),
    *specimens_in(wrong_layers),
    *specimens_in(wrong_norms),
    *specimens_in(wrong_contract),
    *specimens_in(wrong_layout),
)
RIGHT: tuple[Specimen, ...] = (
    *specimens_in(right),
    *specimens_in(right_losses),
    *specimens_in(right_blocks),
)
