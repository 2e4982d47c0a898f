"""The one function that says PASS, and the loop behind it: ask the rule, ask the oracles, compare, vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws import Answer, Breach, ask, ask_once
from gradcheck.oracles import jaxpr
from gradcheck.oracles.autodiff import Autodiff, differentiate
from gradcheck.oracles.contraction import Contraction
from gradcheck.oracles.reference import candidates
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, Flat, flatten, leaves_of
from gradcheck.verdict.allowance import compare, precision_of, value_agrees
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.directions import directions, slopes
from gradcheck.verdict.kinks import across_kinks, sides_of
from gradcheck.verdict.numeric import COMPLEX_STEP, by_differences
from gradcheck.verdict.outcome import Discrepancy, Outcome, Precision, Verdict, Vote, as_float64
from gradcheck.verdict.rounding import own_rounding

__all__ = ["judge"]


@dataclass(frozen=True, eq=False)
class _Case:
    """Everything about one point that the steps below share."""

    rule: Rule
    flat: Flat
    answer: Answer
    contraction: Contraction
    precisions: tuple[Precision, ...]
    seed: int

    def analytic(self) -> list[Array]:
        """Give the rule's answer in float64, zero where it declined (those arrays are held still)."""
        pairs = zip(self.answer.cotangents, self.flat.differentiated, strict=True)
        return [np.zeros(leaf.array.shape) if c is None else as_float64(c) for c, leaf in pairs]


def judge(rule: Rule, point: Point, *, seed: int = 0) -> Verdict:
    """Judge a rule at one point.

    Parameters
    ----------
    rule : Rule
        The rule.
    point : Point
        Arguments, keyword data and the cotangent, whose tree is that of the rule's value.
    seed : int
        Chooses the directions of finite differences.

    Raises
    ------
    InvalidArgument
        If there is nothing to differentiate among the arguments.
    RuleError
        If the rule's forward raises.
    """
    flat = flatten(rule, point)
    answer = ask(rule, point, flat)
    if isinstance(answer, Breach):
        return Verdict(Outcome.FAIL, answer.text, breach=answer)
    if not any(leaf.array.size for leaf in flat.differentiated):
        return Verdict(Outcome.PASS, "there are no entries to differentiate by at this point")
    cotangents = [as_float64(c) for c in leaves_of(point.cotangent)]
    contraction = Contraction(rule.forward, flat, cotangents)
    results = [leaf.array if c is None else c for c, leaf in zip(answer.cotangents, flat.differentiated, strict=True)]
    case = _Case(rule, flat, answer, contraction, tuple(precision_of(r.dtype) for r in results), seed)
    value = _value(case)
    if not all(np.all(np.isfinite(v)) for v in value):
        return Verdict(Outcome.UNDECIDED, "the forward is not finite at this point, so it has no derivative there: "
                       "write it in a form that stays finite, or keep such points out of the strategy")  # fmt: skip
    reference, abstentions = _reference(case, value, cotangents)
    if reference is None:
        return by_differences(rule, point, case.analytic(), contraction, case.precisions, abstentions)
    return _by_reference(case, reference, abstentions, point)


def _value(case: _Case) -> list[Array]:
    try:
        return case.contraction.values(case.contraction.origin)
    except Exception as error:
        raise RuleError(
            f"{case.rule.name}: the forward raised {type(error).__name__} on the same inputs in float64: {error}"
        ) from error


def _reference(case: _Case, value: Sequence[Array], cotangents: Sequence[Array]) -> tuple[Autodiff | None, list[Vote]]:
    """Find the first candidate that JAX can differentiate and whose value is the forward's."""
    precision = max(case.precisions, key=lambda p: p.unit)
    abstentions = []
    for label, function in candidates(case.rule.forward, case.rule.reference):
        try:
            found = differentiate(label, function, case.flat, cotangents)
        except jaxpr.Untraceable as reason:
            abstentions.append(Vote("autodiff", None, f"{label}: {reason}"))
            continue
        if not all(value_agrees(v, found, i, precision) for i, v in enumerate(value)):
            abstentions.append(Vote("autodiff", None, f"{label} has another value here: {_unequal(value, found)}"))
        elif not all(np.all(np.isfinite(g)) for g in found.gradient):
            abstentions.append(Vote("autodiff", None, f"JAX's derivative of {label} is not finite here"))
        else:
            return found, []
    return None, abstentions


def _unequal(value: Sequence[Array], found: Autodiff) -> str:
    for mine, its in zip(value, found.value, strict=True):
        if mine.shape != its.shape:
            return f"shape {its.shape} where the forward has {mine.shape}"
        differs = np.abs(mine - its)
        if np.any(differs > 0):
            at = np.unravel_index(int(np.argmax(differs)), differs.shape)
            return f"{its[at]:.17g} where the forward has {mine[at]:.17g}"
    return "NaN where the forward is finite"


def _by_reference(case: _Case, reference: Autodiff, abstentions: list[Vote], point: Point) -> Verdict:
    compared = _compared(case, reference)
    wrong = any(np.any(d.wrong) for d in compared)
    along = slopes(case.contraction, directions(case.contraction, case.seed), complex_too=wrong)
    words = [slope.agrees(reference.gradient, _by_leaf(case, compared, "error")) for slope in along]
    against = [slope for slope, word in zip(along, words, strict=True) if word is False]
    allowed = _by_leaf(case, compared, "allowed")
    votes = (
        Vote("autodiff", not wrong, reference.label),
        *(slope.vote(case.analytic(), allowed) for slope in along),
        *abstentions,
    )
    if not wrong:
        odd = [f"{slope.estimate.oracle} contradict the rule and autodiff alike" for slope in against[:1]]
        return conclude(compared, votes, odd)
    paths = [leaf.path for leaf in case.flat.differentiated]
    rounded = own_rounding(compared, reference, case.flat, partial(_answers, case, point), paths)
    if rounded is not None:
        return conclude(rounded, votes, [_OWN_ROUNDING])
    across = across_kinks(compared, sides_of(reference, compared, paths))
    if across is not None:
        return conclude(across, votes, [_ON_A_KINK])
    if against and True not in words:
        return _reference_outvoted(case, point, votes)
    why = "entries differ from the reference by more than rounding explains"
    return Verdict(Outcome.FAIL, why, compared, votes)


_OWN_ROUNDING = "the rule loses digits here: its error scatters from one neighbouring input to the next"
_ON_A_KINK = "operands of a comparison coincide here, and the rule's answer is a subgradient: a mix of both sides"


def _answers(case: _Case, point: Point, flat: Flat) -> list[Array] | None:
    """Ask the rule at another point, for those leaves that it gave an answer for here."""
    there = ask_once(case.rule, point, flat)
    if there is None:
        return None
    given = zip(there, case.answer.cotangents, case.flat.differentiated, strict=True)
    return [as_float64(c) for c, here, leaf in given if here is not None and leaf.array.size and c is not None]


def _compared(case: _Case, reference: Autodiff) -> tuple[Discrepancy, ...]:
    rows = zip(case.flat.differentiated, case.answer.cotangents, case.precisions, strict=True)
    return tuple(
        compare(leaf.path, as_float64(analytic), reference, slot, precision)
        for slot, (leaf, analytic, precision) in enumerate(rows)
        if analytic is not None and leaf.array.size
    )


def _by_leaf(case: _Case, compared: Sequence[Discrepancy], name: str) -> list[Array]:
    """Lay one field of the discrepancies out by leaf; a leaf that was not compared is not doubted."""
    found = {d.path: getattr(d, name) for d in compared}
    return [found.get(leaf.path, np.zeros(leaf.array.shape)) for leaf in case.flat.differentiated]


def _reference_outvoted(case: _Case, point: Point, votes: tuple[Vote, ...]) -> Verdict:
    """Judge by differences where they disagree with autodiff: the reference is not the derivative of the forward."""
    verdict = by_differences(case.rule, point, case.analytic(), case.contraction, case.precisions, list(votes))
    note = "autodiff is the odd one out: differences of the forward contradict its derivative of the reference"
    seconded = any(v.oracle == COMPLEX_STEP and v.agrees is not None for v in verdict.votes)
    if verdict.outcome is Outcome.FAIL and not seconded:
        return Verdict(Outcome.UNDECIDED, "the oracles contradict each other, and the rule agrees with none of them",
                       verdict.discrepancies, verdict.votes, notes=(note,))  # fmt: skip
    return Verdict(verdict.outcome, verdict.reason, verdict.discrepancies, verdict.votes, notes=(*verdict.notes, note))
