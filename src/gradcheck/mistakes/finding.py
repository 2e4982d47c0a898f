"""What a diagnosis says: the mistake, the evidence for it, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck.rule import Point

__all__ = ["Diagnosis", "Evidence", "Finding"]


@dataclass(frozen=True)
class Evidence:
    """What remains of the error at one input once the hypothesis is applied, in allowances: 1 is allowed.

    ``where`` names the input. Where two answers of the rule were compared, or its arguments before and after a call,
    ``by_law`` is set, ``where`` says which, and ``before`` how far they are apart, infinite if that has no measure.
    """

    where: str
    before: float
    after: float
    by_law: bool = False


@dataclass(frozen=True, eq=False)
class Finding:
    """A mistake that explains a wrong gradient, and that the evidence tells from its rivals.

    ``name`` is the mistake's, for tables and tools. ``says`` is the sentence a reader needs first: what is wrong, with
    figures and names of the rule's own arguments. ``change`` says in one sentence what to change. ``rivals`` are the
    mistakes that explain the failing point too, and ``point`` is the smallest input found that tells them all from this
    one, ``where`` what the evidence calls it. ``alike`` are those that explain every input too, so that nothing tells
    them from this one.
    """

    name: str
    says: str
    change: str
    evidence: tuple[Evidence, ...]
    point: Point | None = None
    rivals: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What looking for the mistake came to.

    ``findings`` name it; where they are empty, ``unlike`` says what the error looks like. ``trouble`` is what went
    wrong on the way, if something did.
    """

    findings: tuple[Finding, ...] = ()
    unlike: str = ""
    trouble: str = ""
