"""The gradient checks that others offer, each called as its documentation says and with its own defaults."""

from __future__ import annotations

from .ask import CAUGHT, NOT_EXPRESSIBLE, PASSED, Answer, ask
from .handwritten import Handwritten, Question
from .registry import PEERS, Peer

__all__ = ["CAUGHT", "NOT_EXPRESSIBLE", "PASSED", "PEERS", "Answer", "Handwritten", "Peer", "Question", "ask"]
