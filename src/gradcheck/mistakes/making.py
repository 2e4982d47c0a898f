"""A mistake whose wrong gradient is one function of the setting: both of its verbs follow from that function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradcheck.laws import Breach, is_signal
from gradcheck.laws.structure import structured
from gradcheck.mistakes.context import Context
from gradcheck.mistakes.failure import copied
from gradcheck.mistakes.finding import Finding
from gradcheck.mistakes.mistake import Mistake
from gradcheck.mistakes.setting import Gradient, Sample, Setting
from gradcheck.rule import Point, Rule
from gradcheck.tree import Array, flatten
from gradcheck.verdict.outcome import as_float64

__all__ = ["Idea", "Says", "Wrong", "injected", "named", "one_idea", "surer", "variants"]

Wrong = Callable[[Setting], "Gradient | None"]
Says = Callable[[Context], str]


@dataclass(frozen=True)
class Idea:
    """A wrong gradient as a function of the setting, what to say of it, and what to change, as in `one_idea`."""

    wrong: Wrong
    says: Says | str
    change: Says | str


def variants(name: str, *ideas: Idea) -> Mistake:
    """Make one mistake of several wrong gradients: the first is injected, and whichever explains a failure is named."""

    def recognise(context: Context) -> Finding | None:
        found = (named(context, name, idea.wrong, idea.says, idea.change) for idea in ideas)
        return next((finding for finding in found if finding is not None), None)

    return Mistake(name, partial(injected, wrong=ideas[0].wrong), recognise)


def one_idea(name: str, wrong: Wrong, says: Says | str, change: Says | str) -> Mistake:
    """Make both verbs of a mistake.

    Parameters
    ----------
    name : str
        The mistake's name, for tables and tools.
    wrong : callable
        ``wrong(setting)`` gives the gradient with this mistake, an array for each of ``setting.leaves`` made of
        ``setting.gradient`` and ``setting.at(...)``, or None where the mistake makes no sense.
    says, change : str or callable
        What is wrong, and what to change: one sentence each, or a function of the context that gives it.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import examine, from_loss
    >>> rule = from_loss(lambda w: np.sum(w**2), lambda w: 2 * w, name="squares")
    >>> twice = one_idea("twice", lambda s: tuple(2 * g for g in s.gradient), "twice as large", "halve it")
    >>> mutant = twice.inject(rule)
    >>> examine(mutant, np.array([1.0])).outcome.value
    'FAIL'
    """
    return variants(name, Idea(wrong, says, change))


def surer(mistake: Mistake, moves: Callable[[Sample], Iterable[Mapping[int, Any] | None]], where: str) -> Mistake:
    """Let a mistake that explains a failure explain the last sample too with leaves exchanged that it must not mind."""

    def recognise(context: Context) -> Finding | None:
        found = mistake.recognise(context)
        if found is None or not context.samples:
            return found
        last = context.samples[-1]
        return mistake.recognise(context.beside(last, moves(last), where))

    return replace(mistake, recognise=recognise)


def named(context: Context, name: str, wrong: Wrong, says: Says | str, change: Says | str) -> Finding | None:
    """Give the finding if the hypothesis explains the error at every sample."""
    evidence = context.explained(wrong)
    if evidence is None:
        return None
    sentence, remedy = (text if isinstance(text, str) else text(context) for text in (says, change))
    return Finding(name, context.among(sentence), remedy, evidence)


def injected(rule: Rule, wrong: Wrong) -> Rule:
    """Make a rule that answers with a mistake, in the dtype and structure of its primals, and otherwise as before."""

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Callable[[Any], Any]]:
        args, kwargs = copied((args, kwargs))  # laws write over what they handed out
        out, pullback = rule(*args, **kwargs)

        def mutant(cotangent: Any) -> Any:
            returned = pullback(cotangent)
            setting = _setting(rule, Point(args, kwargs, cotangent), returned)
            changed = None if setting is None else wrong(setting)
            return returned if setting is None or changed is None else _restored(rule, setting, changed)

        return out, mutant

    return replace(rule, call=call)


def _setting(rule: Rule, point: Point, returned: Any) -> Setting | None:
    """Take what a rule returned for the right gradient; None where it keeps no contract."""
    flat = flatten(rule, point)
    results = structured(rule, flat, returned)
    if isinstance(results, Breach):
        return None
    judged = [(leaf, r) for leaf, r in zip(flat.differentiated, results, strict=True) if r is not None and r.size]
    if not judged:
        return None
    kept = replace(flat, differentiated=tuple(leaf for leaf, _ in judged))
    paths = [leaf.path for leaf, _ in judged]
    return Setting(rule, point, kept, tuple(as_float64(r) for _, r in judged), partial(_elsewhere, rule, paths))


def _elsewhere(rule: Rule, paths: Sequence[str], point: Point) -> Gradient | None:
    """Ask the rule itself at another point, where that is inside its domain."""
    args, kwargs, cotangent = copied((point.args, point.kwargs, point.cotangent))
    try:
        with np.errstate(all="ignore"):
            returned = rule(*args, **kwargs)[1](cotangent)
    except Exception as error:
        if is_signal(error):
            raise
        return None
    there = _setting(rule, point, returned)
    return there.gradient if there is not None and list(there.paths) == list(paths) else None


def _restored(rule: Rule, setting: Setting, gradient: Sequence[Array]) -> Any:
    """Give arrays the structure that the rule returns: a tree for each differentiated argument, bare if it is one."""
    import jax

    found = {leaf.path: g.astype(leaf.array.dtype) for leaf, g in zip(setting.leaves, gradient, strict=True)}
    args = setting.point.args
    parts = []
    for position in rule.differentiated(args):
        leaves, tree = jax.tree_util.tree_flatten_with_path(args[position])
        label = rule.label(position)
        arrays = [found.get(label + jax.tree_util.keystr(path), _empty(leaf)) for path, leaf in leaves]
        declined = any(a is None for a in arrays)
        parts.append(None if declined else jax.tree_util.tree_unflatten(tree, arrays))
    return parts[0] if len(parts) == 1 else tuple(parts)


def _empty(leaf: Any) -> Array | None:
    """Give an empty leaf the empty cotangent it must have; None to one that the rule declines."""
    array = np.asarray(leaf)
    return None if array.size else np.zeros_like(array)
