"""Where the points of a verification come from, and how many of them Hypothesis is to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.checks import as_arguments, natural
from gradcheck.errors import InvalidArgument
from gradcheck.rule import Rule

if TYPE_CHECKING:
    from hypothesis import settings as Settings
    from hypothesis.strategies import SearchStrategy

__all__ = ["cases_of", "require_strategy", "settings_of"]


def settings_of(given: Any, examples: Any) -> Settings:
    """Complete what was given as ``settings=``, and put ``examples=`` in."""
    from hypothesis import HealthCheck, Phase
    from hypothesis import settings as make

    if given is not None and not isinstance(given, make):
        raise InvalidArgument(f"settings must be hypothesis.settings(...), got {given!r} ({type(given).__name__})")
    # the first check of every new pattern of shapes traces a program, which no deadline should count
    extra: dict[str, Any] = {} if examples is None else {"max_examples": natural("examples", examples, 1)}
    base = given or make(suppress_health_check=[HealthCheck.too_slow])
    # nor are Hypothesis's own words printed, so the phase that looks for them, with a hundred runs more, is left out
    phases = [phase for phase in base.phases if phase is not Phase.explain]
    return make(base, deadline=None, report_multiple_bugs=False, print_blob=False, phases=phases, **extra)


def cases_of(rule: Rule, cases: Any, like: Any, args: Any) -> SearchStrategy[Any]:
    """Give the one strategy that was asked for, in whichever way."""
    from gradcheck import strategies

    given = [name for name, value in (("cases", cases), ("like=", like), ("args=", args)) if value is not None]
    if len(given) != 1:
        raise InvalidArgument(
            "verify needs exactly one source of points: a strategy of tuples, like=(example arguments), or "
            f"args=(one strategy per argument); got {' and '.join(given) or 'none'}"
        )
    for name, value in (("like", like), ("args", args)):
        if value is not None and not isinstance(value, tuple):
            raise InvalidArgument(
                f"{name} must be a tuple with one entry per argument, got {type(value).__name__}: write {name}=(...,)"
            )
    if like is not None:
        return strategies.like(*as_arguments(rule, like), vary=rule.argnums, domain=rule.domain)
    if args is not None:
        return strategies.arguments(*args)
    return require_strategy(cases)


_REMEDY = {
    True: "call it, if it makes one",
    False: "example arguments go into verify(rule, like=(...))",
}


def require_strategy(cases: Any) -> SearchStrategy[Any]:
    """Refuse what draws nothing."""
    from hypothesis.strategies import SearchStrategy

    if not isinstance(cases, SearchStrategy):
        raise InvalidArgument(
            f"cases must be a strategy that draws tuples of arguments, such as gradcheck.strategies.softmax_nll(), "
            f"got {type(cases).__name__}; {_REMEDY[callable(cases)]}"
        )
    return cases
