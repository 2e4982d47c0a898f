"""Named mistakes: each is made by one verb and named by the other.

``MISTAKES`` is the tuple of all, the more specific first: where two explain a failure at every input that could be
drawn, the earlier is named and the later listed as ``alike``. Each file here that is about a mistake offers one
``MISTAKE``, or ``MISTAKES`` where one idea has variants.
"""

from gradcheck.mistakes import (
    active,
    argument_overwritten,
    arrangement,
    axes,
    broadcast,
    cancellation,
    cotangent,
    cotangent_nonlinear,
    cotangent_overwritten,
    counted,
    factor,
    ignored_rows,
    jacobian,
    kink,
    labels,
    layout_assumed,
    non_determinism,
    onehot,
    only_at,
    option_missing,
    option_twice,
    overflow,
    padding,
    precision,
    reduction,
    regulariser,
    shared_buffer,
    sign,
    stale_cache,
    state,
    tail_block,
    ties,
    underflow,
)
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.diagnosis import diagnose, look
from gradcheck.mistakes.finding import Diagnosis, Evidence, Finding
from gradcheck.mistakes.making import Idea, injected, named, one_idea, variants
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Sample, Setting

__all__ = [
    "MISTAKES",
    "Context",
    "Diagnosis",
    "Evidence",
    "Finding",
    "Idea",
    "Mistake",
    "Sample",
    "Setting",
    "diagnose",
    "injected",
    "look",
    "named",
    "one_idea",
    "variants",
]

MISTAKES: tuple[Mistake, ...] = (
    argument_overwritten.MISTAKE,
    cotangent_overwritten.MISTAKE,
    shared_buffer.MISTAKE,
    state.MISTAKE,
    non_determinism.MISTAKE,
    stale_cache.MISTAKE,
    layout_assumed.MISTAKE,
    sign.MISTAKE,
    *reduction.MISTAKES,
    *active.MISTAKES,
    *onehot.MISTAKES,
    *labels.MISTAKES,
    *axes.MISTAKES,
    *cotangent.MISTAKES,
    *jacobian.MISTAKES,
    *broadcast.MISTAKES,
    *counted.MISTAKES,
    *arrangement.MISTAKES,
    cotangent_nonlinear.MISTAKE,
    ignored_rows.MISTAKE,
    option_missing.MISTAKE,
    option_twice.MISTAKE,
    tail_block.MISTAKE,
    padding.MISTAKE,
    overflow.MISTAKE,
    underflow.MISTAKE,
    precision.MISTAKE,
    cancellation.MISTAKE,
    ties.MISTAKE,
    kink.MISTAKE,
    *only_at.MISTAKES,
    *factor.MISTAKES,
    regulariser.MISTAKE,  # a penalty alone is a factor of itself
    factor.CONSTANT,
)
