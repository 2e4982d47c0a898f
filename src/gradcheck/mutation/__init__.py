"""What a check is worth: mutants of the user's own rule, put to the check that the rule passes."""

from gradcheck.mutation.measuring import power
from gradcheck.mutation.report import Killed, PowerReport, Survivor

__all__ = ["Killed", "PowerReport", "Survivor", "power"]
