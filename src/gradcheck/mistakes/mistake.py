"""A mistake: one verb that makes it, and one that names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradcheck.mistakes.finding import Finding
from gradcheck.rule import Rule

if TYPE_CHECKING:
    from gradcheck.mistakes.context import Context

__all__ = ["Mistake"]


@dataclass(frozen=True)
class Mistake:
    """A mistake that people make in a gradient.

    ``inject(rule)`` gives the mutant: the rule with this mistake in its pullback. At a point where the mistake makes
    no sense the mutant answers as the rule does, so that whoever runs it over examples sees that it does not apply.
    ``recognise(context)`` gives a finding only where the hypothesis explains the error at every input of the context.
    ``contains`` names mistakes that are special cases of this one: where it explains a failure that one of them
    explains too, it is no rival. One that is ``general`` says where a gradient is wrong rather than why, or takes long
    to tell, and is asked only where no other one explains the failure.
    """

    name: str
    inject: Callable[[Rule], Rule]
    recognise: Callable[[Context], Finding | None]
    contains: tuple[str, ...] = ()
    general: bool = False
