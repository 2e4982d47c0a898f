"""The Report: everything one check found out, as data. How it reads is the business of `gradcheck.report.text`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gradcheck.mistakes import Diagnosis, Finding, look
from gradcheck.rule import Point, Rule
from gradcheck.verdict import Outcome, Verdict

__all__ = ["Origin", "Report", "Tally"]


@dataclass(frozen=True)
class Origin:
    """What a report says of the rule: names only, so that a report can be pickled and kept."""

    name: str
    maker: str
    target: tuple[str, ...]
    argnums: tuple[int, ...] | None
    takes_cotangent: bool
    domain: str = ""

    @classmethod
    def of(cls, rule: Rule) -> Origin:
        """Take down the names of a rule."""
        domain = "" if rule.domain is None else repr(rule.domain)
        return cls(rule.name, rule.maker, rule.target, rule.argnums, rule.takes_cotangent, domain)


@dataclass(frozen=True)
class Tally:
    """What a run over many examples adds up to.

    ``regimes`` counts the examples of every regime that the strategy offers, or that was visited by chance, those of
    cotangents among them where the rule takes one; 0 are those never visited. ``seen`` is a median over some of the
    examples, since it costs as much as all else together. ``notes`` counts what was noted of single examples, such as
    who judged where JAX could not. ``laws`` says of each law what `gradcheck.Verdict` says, "held" if it held in any
    example. ``regime_ulps`` has the worst of the examples that passed in each regime, where there was one,
    and ``margins`` the largest error of one over what it was allowed, as `gradcheck.memory` keeps it.
    """

    examples: int
    grade: str
    worst_ulps: float
    seen: float
    regimes: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    laws: Mapping[str, str] = field(default_factory=dict)
    regime_ulps: Mapping[str, float] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts_inputs(self) -> bool:
        """Whether regimes of inputs are among the counts, or at most those of cotangents."""
        from gradcheck.strategies.cotangents import COTANGENT_REGIMES

        return not self.regimes.keys() <= COTANGENT_REGIMES.keys()


@dataclass(frozen=True, eq=False)
class Report:
    """The answer of a check: true exactly if the gradient passed.

    ``verdict`` holds outcome, reason, discrepancies and votes; ``point`` is where (for a run over many examples, the
    one that decided, or the pass nearest to wrong); ``tally`` is there for such a run; ``saved`` is the file a
    failure was kept in. ``rule`` is what a diagnosis asks; when a report is pickled, what was found goes along in its
    place as ``diagnosed``.
    """

    origin: Origin
    point: Point
    verdict: Verdict
    seed: int = 0
    tally: Tally | None = None
    saved: Path | None = None
    rule: Rule | None = field(default=None, repr=False)
    diagnosed: Diagnosis | None = field(default=None, repr=False)

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What the mistake is, looked for when first asked: some twenty runs of the rule, at failures only."""
        if self.diagnosed is not None:
            return self.diagnosed
        if self.rule is None or self.outcome is not Outcome.FAIL:
            return Diagnosis()
        return look(self.rule, self.point, self.verdict, self.seed)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The mistakes that explain a failure, best first; empty for anything but a failure, and where none does."""
        return self.diagnosis.findings

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the diagnosis in place of the rule, which may be made of functions that cannot be pickled."""
        kept = {key: value for key, value in vars(self).items() if key != "diagnosis"}
        return {**kept, "rule": None, "diagnosed": self.diagnosis}

    @property
    def outcome(self) -> Outcome:
        """PASS, FAIL or UNDECIDED."""
        return self.verdict.outcome

    def __bool__(self) -> bool:
        return bool(self.verdict.outcome)

    def __str__(self) -> str:
        from gradcheck.report.text import render

        return render(self)

    def _repr_html_(self) -> str:
        """Show a few lines in a notebook."""
        from gradcheck.report.notebook import in_notebook

        return in_notebook(self)
