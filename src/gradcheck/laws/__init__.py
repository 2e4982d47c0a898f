"""What must hold with no oracle at all, one law a module: contract, purity, linearity, layouts, symmetries."""

from gradcheck.laws.breach import Breach
from gradcheck.laws.running import Pulled, ask_once, is_signal
from gradcheck.laws.subject import Answer, Subject
from gradcheck.laws.table import (
    BROKEN,
    HELD,
    LAWS,
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
    "NAMES",
    "NUMERIC",
    "OFF",
    "OPTIONAL",
    "PREREQUISITES",
    "PRIMAL",
    "UNFIT",
    "Answer",
    "Breach",
    "Law",
    "Pulled",
    "Subject",
    "as_names",
    "ask",
    "ask_once",
    "hear",
    "is_signal",
    "together",
]
