"""Put a question to a peer and read its answer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .handwritten import Handwritten, Question
from .objection import Objection
from .registry import Peer

CAUGHT = "caught"
PASSED = "passed"
NOT_EXPRESSIBLE = "not expressible"


@dataclass(frozen=True)
class Answer:
    """One of the three words, and why."""

    word: str
    why: str = ""


def ask(peer: Peer, question: Question) -> Answer:
    """Let a peer check one rule at one point.

    The peer has caught it if it objects, or if it breaks after the backward has raised or answered in another
    structure, shape or dtype. If it breaks although the backward did nothing of the kind, it cannot express the case.
    """
    rule = Handwritten(question)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # what peers warn of (float32, say) they do not object to
            peer.check(rule)
    except Objection as objection:
        return Answer(CAUGHT, _first_line(objection))
    except Exception as error:
        told = f"{type(error).__name__}: {_first_line(error)}"
        return Answer(CAUGHT, f"{rule.fault}: {told}") if rule.fault else Answer(NOT_EXPRESSIBLE, told)
    return Answer(PASSED)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
