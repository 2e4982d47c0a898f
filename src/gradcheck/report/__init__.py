"""The report: one object, its text, and failures kept on disk."""

from gradcheck.mistakes import Diagnosis
from gradcheck.report.failure import Failure, keep, load_failure
from gradcheck.report.report import Origin, Report, Tally
from gradcheck.report.tallying import ANY, Tallying, joined
from gradcheck.report.text import one_line, render

__all__ = [
    "ANY",
    "Diagnosis",
    "Failure",
    "Origin",
    "Report",
    "Tally",
    "Tallying",
    "joined",
    "keep",
    "load_failure",
    "one_line",
    "render",
]
