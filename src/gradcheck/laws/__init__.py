"""What must hold with no oracle at all, one law a module: contract, purity, linearity, layouts, symmetries."""

from gradcheck.laws.breach import Breach
from gradcheck.laws.journey import rest
from gradcheck.laws.layouts import left_out
from gradcheck.laws.running import Forward, Pulled, ask_once, is_signal, run
from gradcheck.laws.subject import Answer, Subject
from gradcheck.laws.symmetry import value_here
from gradcheck.laws.table import (
    BROKEN,
    HELD,
    LAWS,
    LEFT,
    NAMES,
    NUMERIC,
    OFF,
    OPTIONAL,
    PREREQUISITES,
    PRIMAL,
    UNFIT,
    Law,
    as_names,
    ask,
    hear,
    together,
)

__all__ = [
    "BROKEN",
    "HELD",
    "LAWS",
    "LEFT",
    "NAMES",
    "NUMERIC",
    "OFF",
    "OPTIONAL",
    "PREREQUISITES",
    "PRIMAL",
    "UNFIT",
    "Answer",
    "Breach",
    "Forward",
    "Law",
    "Pulled",
    "Subject",
    "as_names",
    "ask",
    "ask_once",
    "hear",
    "is_signal",
    "left_out",
    "rest",
    "run",
    "together",
    "value_here",
]
