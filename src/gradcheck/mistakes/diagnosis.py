"""Ask every mistake about a failure, and name what the evidence tells from all others."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from gradcheck.mistakes.context import Context
from gradcheck.mistakes.finding import Diagnosis, Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.residual import described
from gradcheck.rule import Point, Rule
from gradcheck.verdict import Verdict

__all__ = ["diagnose", "look"]

# Further samples, a few at a time, until one hypothesis is left or it is clear that they always agree.
_MORE, _ROUNDS = 3, 2


def look(rule: Rule, point: Point, verdict: Verdict, seed: int = 0) -> Diagnosis:
    """Diagnose as `diagnose` does, describe what nothing explains, and let nothing raise.

    What goes wrong in here must not hide the failure that is being explained.
    """
    troubles: list[str] = []
    try:
        context = _context(rule, point, verdict, seed)
        findings = _diagnosed(context, [_guarded(mistake, troubles) for mistake in _all()])
        unlike = "" if findings or verdict.breach else described(context)
        return Diagnosis(findings, unlike, "" if findings else "; ".join(dict.fromkeys(troubles)))
    except Exception as error:  # of a rule asked where it was never meant to be, or of a mistake in here
        return Diagnosis(trouble=f"{type(error).__name__}: {error}")


def diagnose(
    rule: Rule, point: Point, verdict: Verdict, seed: int = 0, mistakes: Sequence[Mistake] | None = None
) -> tuple[Finding, ...]:
    """Name the mistake that a wrong gradient makes.

    Parameters
    ----------
    rule, point, verdict
        What failed, where, and what was found there.
    seed : int
        Chooses the further points that hypotheses are tried at.
    mistakes : sequence of Mistake, optional
        Whom to ask, the more specific first; by default all that have names here.

    Returns
    -------
    tuple of Finding
        At most one: the mistake that explains the error at every sample, with the names of those that do so too, if
        nothing tells them apart. Empty where nothing explains it.
    """
    return _diagnosed(_context(rule, point, verdict, seed), _all() if mistakes is None else mistakes)


def _guarded(mistake: Mistake, troubles: list[str]) -> Mistake:
    """Let a mistake note what it raises instead, so that it does not keep the others from being asked."""

    def recognise(context: Context) -> Finding | None:
        try:
            return mistake.recognise(context)
        except Exception as error:
            troubles.append(f"{mistake.name}: {type(error).__name__}: {error}")
            return None

    return replace(mistake, recognise=recognise)


def _all() -> Sequence[Mistake]:
    from gradcheck.mistakes import MISTAKES

    return MISTAKES


def _context(rule: Rule, point: Point, verdict: Verdict, seed: int) -> Context:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a rule that is asked where it may well overflow
        return Context.of(rule, point, verdict, seed)


def _diagnosed(context: Context, mistakes: Sequence[Mistake]) -> tuple[Finding, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _found(mistakes, context)
        for _ in range(_ROUNDS):
            if len(found) < 2:
                break
            context = context.wider(_MORE)
            found = _found([mistake for mistake, _ in found], context)
        if not found:
            return ()
        first, *rest = [finding for _, finding in found]
        return (_told_apart(replace(first, alike=tuple(f.name for f in rest)), mistakes, context),)


def _told_apart(finding: Finding, mistakes: Sequence[Mistake], context: Context) -> Finding:
    """Find who else explains the failing point, and the smallest input that tells all of them from the finding."""
    if not context.samples:
        return finding
    here = replace(context, samples=context.samples[:1])
    known = (finding.name, *finding.alike)
    others = [m for m, _ in _found([m for m in mistakes if not m.general], here) if m.name not in known]
    if not others:
        return replace(finding, point=context.samples[0].point, where=context.samples[0].where)
    finding = replace(finding, rivals=tuple(m.name for m in others))
    for sample in sorted(context.samples[1:], key=lambda s: sum(g.size for g in s.reference)):
        if sample.before > 1.0 and not _found(others, replace(context, samples=(sample,))):
            return replace(finding, point=sample.point, where=sample.where)
    return finding


def _found(mistakes: Sequence[Mistake], context: Context) -> list[tuple[Mistake, Finding]]:
    """Ask each mistake, those that say why before those that only say where; leave out what says less than another."""
    for general in (False, True):
        asked = [(m, m.recognise(context)) for m in mistakes if m.general is general]
        found = [(mistake, finding) for mistake, finding in asked if finding is not None]
        if found:
            names = {mistake.name for mistake, _ in found}
            return [(mistake, finding) for mistake, finding in found if names.isdisjoint(mistake.contains)]
    return []
