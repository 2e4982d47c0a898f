"""The report: one object, its text, and failures kept on disk."""

from gradcheck.report.failure import Failure, keep, load_failure
from gradcheck.report.report import Origin, Report, Tally
from gradcheck.report.text import one_line, render

__all__ = ["Failure", "Origin", "Report", "Tally", "keep", "load_failure", "one_line", "render"]
