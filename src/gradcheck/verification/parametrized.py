"""One Hypothesis test for each of several rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.checks import require_rule
from gradcheck.errors import InvalidArgument
from gradcheck.rule import Rule
from gradcheck.verification.sources import require_strategy

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["parametrize"]


def parametrize(
    rules: Mapping[str, Rule] | Sequence[Rule], cases: SearchStrategy[tuple[Any, ...]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test of ``(rule, case)`` so that it is an ordinary Hypothesis test for each rule.

    The result is what ``@pytest.mark.parametrize`` over ``@given`` gives: ids one can read and select with ``-k``,
    and ``@settings``, marks, ``--lf`` and pytest-xdist work on it as on any other test.

    Parameters
    ----------
    rules : mapping of str to Rule, or sequence of Rule
        The keys are the ids; rules in a sequence go by the last part of their names.
    cases : strategy of tuples
        Draws the arguments of every rule.

    Raises
    ------
    InvalidArgument
        If there are no rules, or something in their place.

    Examples
    --------
    .. code-block:: python

        @gradcheck.parametrize({"fused": fused, "two-stage": two_stage}, gst.softmax_nll())
        def test_gradient(rule, case):
            gradcheck.check(rule, *case)
    """
    import pytest
    from hypothesis import given

    named = _named(rules)
    require_strategy(cases)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        params = [pytest.param(rule, id=name) for name, rule in named.items()]
        decorated: Callable[..., None] = pytest.mark.parametrize("rule", params)(given(case=cases)(test))
        return decorated

    return decorate


def _named(rules: Any) -> dict[str, Rule]:
    """Give every rule its id."""
    if isinstance(rules, Mapping):
        pairs = [(str(name), rule) for name, rule in rules.items()]
    elif isinstance(rules, Sequence):
        pairs = [(getattr(rule, "name", "").split(".")[-1], rule) for rule in rules]
    else:
        raise InvalidArgument(f"rules must be a mapping of ids to rules, or a list of them, got {type(rules).__name__}")
    for name, rule in pairs:
        require_rule(rule, f"rules[{name!r}]" if isinstance(rules, Mapping) else "each of the rules")
    if not pairs:
        raise InvalidArgument("rules is empty, so nothing would be tested; pass at least one")
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise InvalidArgument(f"several rules have the id {twice[0]!r}; pass a mapping with an id for each")
    return dict(pairs)
