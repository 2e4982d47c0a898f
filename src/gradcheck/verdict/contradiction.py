"""What differences of the forward are worth where they contradict the reference: look closer, ask again, outvote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradcheck.oracles.autodiff import Autodiff
from gradcheck.tree import Array
from gradcheck.verdict.case import Case
from gradcheck.verdict.conclude import conclude
from gradcheck.verdict.directions import Slope, closer, consistent, directions, on_one_piece, slopes
from gradcheck.verdict.numeric import COMPLEX_STEP, without_reference
from gradcheck.verdict.outcome import Discrepancy, Outcome, Verdict, Vote
from gradcheck.verdict.own import OWN_FORWARD, seconds

__all__ = ["confirmed", "outvoted"]

_ODD_ONE_OUT = "autodiff is the odd one out: differences of the forward contradict its derivative of the reference"
# Directions asked when one contradicts rule and autodiff alike. A reference that is not the derivative of the forward
# contradicts nearly all of them; a finite difference that claims too much does so once in ten thousand.
_REVISION = 4
# The largest relative step that finite differences usually settle on; a comparison that turns within it is a kink
# that they have straddled. Sixteen tries miss a single one once in 2^16.
_STEP = 2.0**-8
_SIDES = 16
_COARSE = "finite differences stepped over a bend of the forward; with closer steps they agree"
_SECONDED = "finite differences contradict rule and autodiff alike, but not the forward itself, run in ball arithmetic"
_STRADDLED = "finite differences straddle a kink close by, and see another slope than rule and autodiff do"


def confirmed(
    case: Case,
    autodiff: Autodiff,
    compared: Sequence[Discrepancy],
    along: Sequence[Slope],
    votes: tuple[Vote, ...],
) -> Verdict:
    """Ask again, closer and in other directions, where rule and autodiff agree and a difference contradicts both."""
    against = [slope for slope in along if consistent(slope, compared) is False]
    gradient = [d.reference for d in compared]
    near = [closer(case.contraction, slope, gradient) for slope in against]
    if all(consistent(slope, compared) and _tells(slope, gradient) for slope in near):
        return conclude(compared, votes, [_COARSE])
    sides = autodiff.sides(_STEP, _SIDES)
    # the sides of a wrong reference are far apart too, and a true slope between them only by chance
    still = [consistent(on_one_piece(case.contraction, slope, autodiff), compared) for slope in against]
    if False not in still and all(_straddles(slope, [gradient, *sides]) for slope in against):
        return conclude(compared, votes, [_STRADDLED])
    again = directions(case.contraction, case.seed + 1, count=_REVISION)
    words = [consistent(slope, compared) for slope in slopes(case.contraction, again, complex_too=False)]
    if 2 * words.count(False) <= len(words) - words.count(None):
        return conclude(
            compared, votes, ["finite differences contradict rule and autodiff alike, in one direction only"]
        )
    if seconds(case, compared):
        return conclude(compared, (*votes, Vote(OWN_FORWARD, True, "it has the reference's derivative")), [_SECONDED])
    why = "differences of the forward contradict rule and reference alike: is the reference the forward's derivative?"
    return Verdict(Outcome.UNDECIDED, why, tuple(compared), votes)


def outvoted(case: Case, votes: tuple[Vote, ...]) -> Verdict:
    """Judge by differences where they contradict autodiff: the reference is not the derivative of the forward."""
    verdict = without_reference(case, votes)
    seconded = any(v.oracle in (COMPLEX_STEP, OWN_FORWARD) and v.agrees is not None for v in verdict.votes)
    if verdict.outcome is Outcome.FAIL and not seconded:
        why = "the oracles contradict each other, and the rule agrees with none of them"
        verdict = replace(verdict, outcome=Outcome.UNDECIDED, reason=why)
    return replace(verdict, notes=(*verdict.notes, _ODD_ONE_OUT))


def _straddles(slope: Slope, sides: Sequence[Sequence[Array]]) -> bool:
    """Whether a difference lies between the slopes on the sides of a kink that is close by."""
    seen = [slope.along(gradient) for gradient in sides]
    value, error = float(slope.estimate.value), float(slope.estimate.error)
    return len(seen) > 1 and min(seen) - error <= value <= max(seen) + error


def _tells(slope: Slope, gradient: Sequence[Array]) -> bool:
    """Whether a difference is sharp enough to speak for the slope it agrees with: zero is not within its error."""
    return 2 * float(slope.estimate.error) < abs(slope.along(gradient))
