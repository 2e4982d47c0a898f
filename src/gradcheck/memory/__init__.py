"""What is remembered of a gradient from one run of a suite to the next: how close each came to being wrong."""

from gradcheck.memory.gathering import Gathering
from gradcheck.memory.lock import LOCK, Lock, read_lock, write_lock
from gradcheck.memory.margins import FLOOR, Change, Margins, changes
from gradcheck.memory.record import Record

__all__ = [
    "FLOOR",
    "LOCK",
    "Change",
    "Gathering",
    "Lock",
    "Margins",
    "Record",
    "changes",
    "read_lock",
    "write_lock",
]
