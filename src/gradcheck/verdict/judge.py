"""The one function that says PASS, and the loop behind it: ask the rule, ask the oracles, compare, vote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws import BROKEN, HELD, NUMERIC, OFF, PREREQUISITES, PRIMAL, Subject, as_names, hear
from gradcheck.oracles import jaxpr
from gradcheck.oracles.autodiff import Autodiff, differentiate
from gradcheck.oracles.reference import candidates
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, flatten
from gradcheck.verdict.allowance import compare, value_agrees
from gradcheck.verdict.case import Case
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.directions import Slope, closer, directions, on_one_piece, slopes
from gradcheck.verdict.kinks import across_kinks
from gradcheck.verdict.numeric import COMPLEX_STEP, by_differences
from gradcheck.verdict.outcome import Discrepancy, Outcome, Verdict, Vote
from gradcheck.verdict.primal import other_value
from gradcheck.verdict.rounding import OWN_ROUNDING, own_rounding

__all__ = ["judge"]

_NOT_FINITE = (
    "the forward is not finite at this point, so it has no derivative there: write it in a form that stays finite, "
    "or keep such points out of the strategy"
)
_ON_A_KINK = "operands of a comparison coincide here, and the rule's answer is a subgradient: a mix of both sides"
_ODD_ONE_OUT = "autodiff is the odd one out: differences of the forward contradict its derivative of the reference"
# Directions asked when one contradicts rule and autodiff alike. A reference that is not the derivative of the forward
# contradicts nearly all of them; a finite difference that claims too much does so once in ten thousand.
_REVISION = 4
# The largest relative step that finite differences usually settle on; a comparison that turns within it is a kink
# that they have straddled. Sixteen tries miss a single one once in 2^16.
_STEP = 2.0**-8
_SIDES = 16
_COARSE = "finite differences stepped over a bend of the forward; with closer steps they agree"
_STRADDLED = "finite differences straddle a kink close by, and see another slope than rule and autodiff do"


def judge(rule: Rule, point: Point, *, seed: int = 0, without: Collection[str] = ()) -> Verdict:
    """Judge a rule at one point.

    First come the laws without which no number means anything, then the numbers, then, unless those are wrong (a
    table of wrong entries says more), all other laws.

    Parameters
    ----------
    rule : Rule
        The rule.
    point : Point
        Arguments, keyword data and the cotangent, whose tree is that of the rule's value.
    seed : int
        Chooses the directions of finite differences.
    without : collection of str
        Names of laws that are not asked.

    Raises
    ------
    InvalidArgument
        If there is nothing to differentiate among the arguments, or ``without`` holds something else than laws.
    RuleError
        If the rule's forward raises.
    """
    off = as_names(without)
    subject = Subject(rule, point, flatten(rule, point))
    breach, heard = hear(PREREQUISITES, subject, off)
    said = dict.fromkeys(sorted(off), OFF) | heard
    if breach:
        return Verdict(Outcome.FAIL, breach.text, breach=breach, laws=said)
    verdict = _by_numbers(Case.of(rule, point, subject.flat, subject.answer, seed), subject, PRIMAL not in off)
    said[PRIMAL] = OFF if PRIMAL in off else BROKEN if verdict.breach else HELD
    if verdict.outcome is Outcome.FAIL:
        return replace(verdict, laws=said)
    breach, heard = hear(NUMERIC, subject, off)
    if breach:
        verdict = replace(verdict, outcome=Outcome.FAIL, reason=breach.text, breach=breach, vacuous=False)
    return replace(verdict, laws=said | heard)


def _by_numbers(case: Case, subject: Subject, primal: bool) -> Verdict:
    """Compare the answer with the oracles'."""
    if not case.flat.differentiated:
        return Verdict(Outcome.PASS, "there are no entries to differentiate by at this point")
    value = _value(case)
    if not all(np.all(np.isfinite(v)) for v in value):
        return Verdict(Outcome.UNDECIDED, _NOT_FINITE)
    reference, abstentions = _reference(case, value)
    answered = subject.answer.value
    if primal and (breach := other_value(case, value, answered, reference)):
        return Verdict(Outcome.FAIL, breach.text, breach=breach)
    verdict = by_differences(case, abstentions) if reference is None else _by_reference(case, reference)
    if verdict.outcome is Outcome.PASS and not all(np.all(np.isfinite(v)) for v in answered):
        narrow = f"the rule's value is not finite in {case.coarsest.name}, though the forward is in float64"
        verdict = replace(verdict, outcome=Outcome.UNDECIDED, reason=f"{narrow}: {_NOT_FINITE.partition(': ')[2]}")
    declined = [f"not judged, since the rule returns None for it: {path}" for path in case.declined()]
    return replace(verdict, notes=(*verdict.notes, *declined))


def _value(case: Case) -> list[Array]:
    try:
        return case.contraction.values(case.contraction.origin)
    except Exception as error:
        raise RuleError(
            f"{case.rule.name}: the forward raised {type(error).__name__} on the same inputs in float64: {error}"
        ) from error


def _reference(case: Case, value: Sequence[Array]) -> tuple[Autodiff | None, list[Vote]]:
    """Find the first candidate that JAX can differentiate and whose value is the forward's."""
    abstentions = []
    for label, function in candidates(case.rule.forward, case.rule.reference):
        try:
            found = differentiate(label, function, case.flat, case.contraction.cotangents)
        except jaxpr.Untraceable as reason:
            abstentions.append(Vote("autodiff", None, f"{label}: {reason}"))
            continue
        if not all(value_agrees(v, found, i, case.coarsest) for i, v in enumerate(value)):
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


def _by_reference(case: Case, reference: Autodiff) -> Verdict:
    rows = zip(case.flat.differentiated, case.analytic, case.precisions, strict=True)
    compared = tuple(compare(leaf.path, a, reference, i, p) for i, (leaf, a, p) in enumerate(rows))
    wrong = any(np.any(d.wrong) for d in compared)
    along = slopes(case.contraction, directions(case.contraction, case.seed), complex_too=wrong)
    words = [_consistent(slope, reference, compared) for slope in along]
    votes = (
        Vote("autodiff", not wrong, reference.label),
        *(slope.vote(case.analytic, [d.allowed for d in compared]) for slope in along),
    )
    if not wrong:
        return _confirmed(case, reference, compared, along, votes) if False in words else conclude(compared, votes)
    rounded = own_rounding(case, compared, reference)
    if rounded is not None:
        return conclude(rounded, votes, [OWN_ROUNDING])
    across = across_kinks(compared, reference)
    if across is not None:
        return conclude(across, votes, [_ON_A_KINK])
    if False in words and True not in words:
        return _outvoted(case, votes)
    votes = (*votes, *_forward_mode(case, reference, compared))
    why = "entries differ from the reference by more than rounding explains"
    return Verdict(Outcome.FAIL, why, compared, votes)


def _forward_mode(case: Case, reference: Autodiff, compared: Sequence[Discrepancy]) -> list[Vote]:
    """Ask JAX's forward mode along a direction: another program than reverse mode's, and no step to choose."""
    (vector,) = directions(case.contraction, case.seed, count=1)
    direction = case.contraction.split(vector)
    try:
        tangent = reference.tangent(direction)
    except jaxpr.Untraceable as reason:
        return [Vote("autodiff, forward mode", None, str(reason))]
    doubt = sum(float(np.vdot(d.allowed, np.abs(v))) for d, v in zip(compared, direction, strict=True))
    with np.errstate(all="ignore"):
        rule = sum(float(np.vdot(a, v)) for a, v in zip(case.analytic, direction, strict=True))
    text = f"{rule:.9g} along a random direction, forward mode {tangent:.9g}"
    return [Vote("autodiff, forward mode", bool(abs(rule - tangent) <= doubt), text)]


def _consistent(slope: Slope, reference: Autodiff, compared: Sequence[Discrepancy]) -> bool | None:
    return slope.agrees(reference.gradient, [d.error for d in compared])


def _straddles(slope: Slope, reference: Autodiff, sides: Sequence[Sequence[Array]]) -> bool:
    """Whether a difference lies between the slopes on the sides of a kink that is close by."""
    seen = [slope.along(gradient) for gradient in (reference.gradient, *sides)]
    value, error = float(slope.estimate.value), float(slope.estimate.error)
    return len(seen) > 1 and min(seen) - error <= value <= max(seen) + error


def _tells(slope: Slope, reference: Autodiff) -> bool:
    """Whether a difference is sharp enough to speak for the slope it agrees with: zero is not within its error."""
    return 2 * float(slope.estimate.error) < abs(slope.along(reference.gradient))


def _confirmed(
    case: Case,
    reference: Autodiff,
    compared: Sequence[Discrepancy],
    along: Sequence[Slope],
    votes: tuple[Vote, ...],
) -> Verdict:
    """Ask again, closer and in other directions, where rule and autodiff agree and a difference contradicts both."""
    against = [slope for slope in along if _consistent(slope, reference, compared) is False]
    near = [closer(case.contraction, slope, reference.gradient) for slope in against]
    if all(_consistent(slope, reference, compared) and _tells(slope, reference) for slope in near):
        return conclude(compared, votes, [_COARSE])
    sides = reference.sides(_STEP, _SIDES)
    # the sides of a wrong reference are far apart too, and a true slope between them only by chance
    still = [_consistent(on_one_piece(case.contraction, slope, reference), reference, compared) for slope in against]
    if False not in still and all(_straddles(slope, reference, sides) for slope in against):
        return conclude(compared, votes, [_STRADDLED])
    again = directions(case.contraction, case.seed + 1, count=_REVISION)
    words = [_consistent(s, reference, compared) for s in slopes(case.contraction, again, complex_too=False)]
    if 2 * words.count(False) <= len(words) - words.count(None):
        return conclude(
            compared, votes, ["finite differences contradict rule and autodiff alike, in one direction only"]
        )
    why = "differences of the forward contradict rule and reference alike: is the reference the forward's derivative?"
    return Verdict(Outcome.UNDECIDED, why, tuple(compared), votes)


def _outvoted(case: Case, votes: tuple[Vote, ...]) -> Verdict:
    """Judge by differences where they contradict autodiff: the reference is not the derivative of the forward."""
    verdict = by_differences(case, votes)
    seconded = any(v.oracle == COMPLEX_STEP and v.agrees is not None for v in verdict.votes)
    if verdict.outcome is Outcome.FAIL and not seconded:
        why = "the oracles contradict each other, and the rule agrees with none of them"
        verdict = replace(verdict, outcome=Outcome.UNDECIDED, reason=why)
    return replace(verdict, notes=(*verdict.notes, _ODD_ONE_OUT))
