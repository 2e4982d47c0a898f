"""The verdict: allowance from evidence, comparison, votes, and the one function that says PASS."""

from gradcheck.verdict.judge import judge
from gradcheck.verdict.outcome import Discrepancy, Grade, Outcome, Verdict, Vote

__all__ = ["Discrepancy", "Grade", "Outcome", "Verdict", "Vote", "judge"]
