"""The one function that says PASS, and the loop behind it: ask the rule, ask the oracles, compare, vote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from gradcheck.errors import RuleError
from gradcheck.laws import (
    BROKEN,
    HELD,
    NUMERIC,
    OFF,
    PREREQUISITES,
    PRIMAL,
    Forward,
    Subject,
    as_names,
    hear,
    left_out,
    rest,
    value_here,
)
from gradcheck.oracles.autodiff import Autodiff, Moved, differentiate
from gradcheck.oracles.program import jaxpr
from gradcheck.oracles.reference import candidates
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, every, flatten
from gradcheck.verdict.by_reference import by_reference
from gradcheck.verdict.case import Case
from gradcheck.verdict.compare import value_agrees
from gradcheck.verdict.evidence import Evidence
from gradcheck.verdict.numeric import without_reference
from gradcheck.verdict.outcome import Outcome, Verdict, Vote
from gradcheck.verdict.primal import other_value

__all__ = ["judge"]

_NOT_FINITE = (
    "the forward is not finite at this point, so it has no derivative there: write it in a form that stays finite, "
    "or keep such points out of the strategy"
)
_MOVED = (
    "the arguments were written over while they were checked, though not in the copies that the rule was handed: "
    "does it, or another thread, hold these very arrays?"
)
_NOT_AGAIN = "judged once more at this point, by more laws, it passed: the answer may depend on earlier calls"


def judge(
    rule: Rule,
    point: Point,
    *,
    seed: int = 0,
    without: Collection[str] = (),
    thorough: bool = True,
    runs: list[Forward] | None = None,
) -> Verdict:
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
        Chooses the directions of finite differences, together with the point where that is one of many.
    without : collection of str
        Names of laws that are not asked.
    thorough : bool
        False for one of many points, which share out what takes long: each asks half of the laws, in a few layouts, and
        looks along one direction. Where it fails, it is judged in full, so that what is wrong is called by its name.
    runs : list of Forward
        A run of the rule there, if one has been made already. It is taken out of the list, and let go of where it is
        large.

    Raises
    ------
    InvalidArgument
        If there is nothing to differentiate among the arguments, or ``without`` holds something else than laws.
    RuleError
        If the rule's forward raises.
    """
    off = as_names(without)
    flat = runs[0].flat if runs else flatten(rule, point)
    verdict = _judged(Subject(rule, point, flat, thorough, runs=runs or []), seed, off)
    if verdict.outcome is Outcome.FAIL and not thorough:
        in_full = _judged(Subject(rule, point, flat), seed, off)
        again = in_full.outcome is Outcome.FAIL
        return in_full if again else replace(verdict, notes=(*verdict.notes, _NOT_AGAIN))
    return verdict


def _judged(subject: Subject, seed: int, off: frozenset[str]) -> Verdict:
    breach, heard = hear(PREREQUISITES, subject, off)
    said = dict.fromkeys(sorted(off), OFF) | heard
    if breach:
        return Verdict(Outcome.FAIL, breach.text, breach=breach, laws=said)
    rest(subject)
    try:
        verdict = _by_numbers(Case.of(subject, seed), subject, PRIMAL not in off)
    except Moved:
        return Verdict(Outcome.UNDECIDED, _MOVED, laws=said)
    said[PRIMAL] = OFF if PRIMAL in off else BROKEN if verdict.breach else HELD
    if verdict.outcome is Outcome.FAIL:
        return replace(verdict, laws=said)
    breach, heard = hear(NUMERIC, subject, off)
    if breach:
        verdict = replace(verdict, outcome=Outcome.FAIL, reason=breach.text, breach=breach, vacuous=False)
    if heard.get("layouts") == HELD and (note := left_out(subject)):
        verdict = replace(verdict, notes=(*verdict.notes, note))
    return replace(verdict, laws=said | heard)


def _by_numbers(case: Case, subject: Subject, primal: bool) -> Verdict:
    """Compare the answer with the oracles'."""
    if not case.flat.differentiated:
        return Verdict(Outcome.PASS, "there are no entries to differentiate by at this point")
    value = _value(case)
    if not all(every(np.isfinite(v)) for v in value):
        return Verdict(Outcome.UNDECIDED, _NOT_FINITE)
    if all(v.dtype.kind == "f" for v in value):
        subject.remember(value_here, value)  # laws ask for it too
    reference, abstentions = _reference(case, value)
    answered = subject.answer.value
    if primal and (breach := other_value(case, value, answered, reference)):
        return Verdict(Outcome.FAIL, breach.text, breach=breach)
    verdict = without_reference(case, abstentions) if reference is None else by_reference(case, reference)
    if verdict.outcome is Outcome.PASS and not all(every(np.isfinite(v)) for v in answered):
        narrow = f"the rule's value is not finite in {case.coarsest.name}, though the forward is in float64"
        verdict = replace(verdict, outcome=Outcome.UNDECIDED, reason=f"{narrow}: {_NOT_FINITE.partition(': ')[2]}")
    declined = [f"not judged, since the rule returns None for it: {path}" for path in case.declined()]
    return replace(verdict, notes=(*verdict.notes, *declined)) if declined else verdict


def _value(case: Case) -> list[Array]:
    try:
        return case.contraction.here
    except Exception as error:
        raise RuleError(
            f"{case.rule.name}: the forward raised {type(error).__name__} on the same inputs in float64: {error}"
        ) from error


def _reference(case: Case, value: Sequence[Array]) -> tuple[Evidence | None, list[Vote]]:
    """Find the first candidate that JAX can differentiate and whose value is the forward's."""
    abstentions = []
    for label, function in candidates(case.rule.forward, case.rule.reference):
        try:
            found = differentiate(label, function, case.flat, case.contraction.cotangents)
        except jaxpr.Untraceable as reason:
            abstentions.append(Vote("autodiff", None, f"{label}: {reason}"))
            continue
        evidence = Evidence(found)
        if not all(value_agrees(v, evidence, i, case.coarsest) for i, v in enumerate(value)):
            abstentions.append(Vote("autodiff", None, f"{label} has another value here: {_unequal(value, found)}"))
        elif not all(every(np.isfinite(g)) for g in found.gradient):
            abstentions.append(Vote("autodiff", None, f"JAX's derivative of {label} is not finite here"))
        else:
            return evidence, []
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
