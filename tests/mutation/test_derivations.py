"""What a hundred examples of a derivation's own cases once let through."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

import gradcheck
from gradcheck.catalogue import entries
from gradcheck.mistakes import MISTAKES


@pytest.mark.parametrize(
    ("derivation", "mistake"),
    [
        ("rms-norm/epsilon-1e-05", "wrong only for K = 1"),  # where a gain of zero hid it
        ("softmax-nll/sharded/masks", "label off by one"),  # where labels were in a shard with no other class
    ],
)
def test_what_once_survived_is_killed(derivation: str, mistake: str) -> None:
    entry = next(entry for entry in entries() if entry.name == derivation)
    mutant = next(known for known in MISTAKES if known.name == mistake).inject(entry.rule)
    without_shrinking = settings(max_examples=100, phases=[Phase.generate], database=None)
    with pytest.raises(gradcheck.GradientMismatch):
        gradcheck.verify(mutant, entry.cases("float64"), settings=without_shrinking, seed=0)
