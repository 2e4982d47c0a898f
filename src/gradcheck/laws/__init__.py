"""What must hold with no oracle at all: the contract of a rule, and that it leaves no trace."""

from gradcheck.laws.answer import Answer, ask, ask_once, is_signal
from gradcheck.laws.breach import Breach

__all__ = ["Answer", "Breach", "ask", "ask_once", "is_signal"]
