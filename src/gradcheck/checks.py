"""Check and examine one point: the thin conductors of everything above."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from gradcheck.adapters import from_loss
from gradcheck.errors import GradientMismatch, GradientUndecided, InvalidArgument, RuleError
from gradcheck.laws import Forward, run
from gradcheck.observing import told
from gradcheck.report import Origin, Report, keep
from gradcheck.rule import Point, Rule, is_float
from gradcheck.tree import Array, flatten, leaves_of
from gradcheck.verdict import Outcome, judge

__all__ = [
    "as_arguments",
    "as_cotangent",
    "check",
    "examine",
    "failure",
    "forward_value",
    "natural",
    "report_at",
    "require_rule",
    "warm_up",
]

# Cotangents for one check: eighths with mixed signs, so exact in every dtype and short in messages; no zeros, which
# would hide entries, and never 1, which would hide a rule that ignores its cotangent.
_COTANGENT_STEPS = np.array([k / 8 for k in range(-16, 17) if k not in (0, 8)])

_KNOWN = 2**12  # of the numbers that cotangents are drawn by, enough for the values of tests

# At how many more points of tests of Hypothesis each gradient is judged in full: at the first few, since a test may
# draw no others, and nothing says how many it will; and at all from where one has failed, since nothing says whether
# Hypothesis shrinks, and then a smaller point has to show all that a larger one did. A gradient that is asked in full
# without need is judged as it would be anywhere else.
_FIRST = 4
_IN_FULL: WeakKeyDictionary[Any, float] = WeakKeyDictionary()


def examine(
    rule: Rule, /, *args: Any, cotangent: Any = None, seed: int = 0, without: Collection[str] = (), **data: Any
) -> Report:
    """Judge a rule at one point and return the report, whatever it says.

    Parameters
    ----------
    rule : Rule
        What to check; `gradcheck.from_loss` and its like make one.
    *args, **data
        The point: the rule's own arguments. Floating-point arrays that the rule differentiates by are the primals.
    cotangent : array-like, optional
        What is pulled back, shaped like the rule's value. Left out, ``seed`` draws one. A pair of loss and gradient
        has none.
    seed : int
        Chooses cotangent and directions.
    without : collection of str
        Names of laws that are not asked; the reference page on laws lists them.

    Returns
    -------
    Report
        True exactly if the gradient passed.

    Raises
    ------
    InvalidArgument
        If the call makes no sense: no rule, nothing to differentiate, a cotangent of another shape, no such law.
    RuleError
        If the rule's forward raises on these arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import from_loss
    >>> rule = from_loss(lambda w: np.sum(w**3), lambda w: 3 * w, name="cube")
    >>> report = examine(rule, np.array([2.0]))
    >>> bool(report), report.outcome.value
    (False, 'FAIL')
    """
    point, runs = _point(rule, args, data, cotangent, seed)
    return told(report_at(rule, point, seed=seed, without=without, runs=runs))


def check(
    rule: Rule, /, *args: Any, cotangent: Any = None, seed: int = 0, without: Collection[str] = (), **data: Any
) -> Report:
    """Judge a rule at one point; raise unless it passes.

    Parameters are those of `examine`. Outside Hypothesis a failure is kept under ``.gradcheck/failures``, and the
    message says how to run it again; inside ``@given`` the pytest plugin keeps the shrunk one. A point at which every
    entry of some array is below its rounding (a bias, where each row is saturated) shows nothing: inside ``@given`` it
    is rejected as ``assume(False)`` would, so that it counts for nothing; elsewhere it is UNDECIDED.

    Returns
    -------
    Report
        Of a pass; ``print`` it for the one line that tells what the pass is worth.

    Raises
    ------
    GradientMismatch
        If the gradient is wrong; an AssertionError with ``report``.
    GradientUndecided
        If nothing available could judge it; an AssertionError with ``report``.
    InvalidArgument, RuleError
        As in `examine`.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcheck import from_loss
    >>> rule = from_loss(lambda w: np.sum(w**3), lambda w: 3 * w**2, name="cube")
    >>> bool(check(rule, np.array([2.0])))
    True
    """
    __tracebackhide__ = True
    given = _under_given()
    point, runs = _point(rule, args, data, cotangent, seed)
    thorough = not given or _in_full(rule)
    report = report_at(rule, point, seed=seed, without=without, thorough=thorough, runs=runs)
    if report:
        return told(report)
    if not given:
        raise failure(told(keep(report)))
    if report.verdict.vacuous:
        import hypothesis

        hypothesis.reject()
    with suppress(TypeError):  # what can be held weakly, or hashed
        _IN_FULL[_derivative(rule)] = math.inf
    raise failure(told(report))


def report_at(
    rule: Rule,
    point: Point,
    *,
    seed: int = 0,
    without: Collection[str] = (),
    thorough: bool = True,
    runs: list[Forward] | None = None,
) -> Report:
    """Judge a rule at a point with its cotangent; ``thorough`` and ``runs`` are those of `judge`."""
    verdict = judge(rule, point, seed=seed, without=without, thorough=thorough, runs=runs)
    return Report(Origin.of(rule), point, verdict, seed, rule=rule)


def _point(
    rule: Rule, given: Sequence[Any], data: dict[str, Any], cotangent: Any, seed: int
) -> tuple[Point, list[Forward]]:
    """Make a point, and give the run of the rule there that it took."""
    require_rule(rule)
    seed = natural("seed", seed)
    args = as_arguments(rule, given)
    value, forward = _first_run(rule, args, data)
    return Point(args, data, as_cotangent(rule, value, cotangent, seed)), [forward]


def _in_full(rule: Rule) -> bool:
    """Whether the next point has to show everything by itself; what cannot be counted always has."""
    try:
        points = _IN_FULL.setdefault(_derivative(rule), _FIRST)
        _IN_FULL[_derivative(rule)] = max(points - 1, 0)
    except TypeError:
        return True
    return points > 0


def _derivative(rule: Rule) -> Any:
    """Give the function that somebody wrote: a test may make its rule anew for each example."""
    return (rule.written or (rule.call,))[-1]


def _under_given() -> bool:
    """Whether this runs in a test of Hypothesis, which would have been imported then."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())


def failure(report: Report) -> GradientMismatch | GradientUndecided:
    """Make the exception that a report stands for."""
    return GradientMismatch(report) if report.outcome is Outcome.FAIL else GradientUndecided(report)


def require_rule(value: Any, what: str = "the first argument") -> None:
    """Refuse what is no rule."""
    if not isinstance(value, Rule):
        raise InvalidArgument(
            f"{what} must be a rule, got {type(value).__name__}; make one: "
            "gradcheck.from_loss(loss, grad) or gradcheck.from_vjp(fun, vjp)"
        )


def natural(name: str, value: Any, least: int = 0) -> int:
    """Take an integer from ``least`` up, and nothing that is merely like one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidArgument(
            f"{name} must be an integer from {least} up, got {name}={value!r} ({type(value).__name__})"
        )
    return int(value)


def as_arguments(rule: Rule, given: Sequence[Any]) -> tuple[Any, ...]:
    """Take nested lists for arrays, in the byte order of the machine, and see that there is something to differentiate.

    In another byte order, NumPy's answer to a primal would not have its dtype.
    """
    args = tuple(_as_array(rule.label(i), arg) for i, arg in enumerate(given))
    rule.differentiated(args)
    rule.require_inside(args)
    return args


def _as_array(name: str, value: Any) -> Any:
    """Take nested lists of numbers for the array they spell, and numbers of any byte order; leave trees alone."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind == "f":
        raise InvalidArgument(
            f"{name} is a masked array, whose mask no oracle would see: pass {name}.filled(...), and the mask as data"
        )
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    if not isinstance(value, list) or any(hasattr(leaf, "dtype") for leaf in leaves_of(value)):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidArgument(f"{name} is a nested list that is ragged and spells no array: {error}") from None
    return array if array.dtype.kind in "biuf" else value


def as_cotangent(rule: Rule, value: Any, given: Any, seed: int) -> Any:
    """Hold a given cotangent to the shape of the rule's value, or draw one."""
    import jax

    if not rule.takes_cotangent:
        if any(np.any(np.asarray(leaf) != 1) for leaf in leaves_of(given)):
            raise InvalidArgument(
                f"{rule.name} is a pair of loss and gradient and takes no cotangent; leave cotangent= out"
            )
        return np.ones_like(value)
    if given is None:
        if isinstance(value, np.ndarray) and value.size <= _KNOWN:
            return _COTANGENT_STEPS[_known(seed)[: value.size].reshape(value.shape)].astype(value.dtype)
        return jax.tree_util.tree_map(partial(_drawn, np.random.default_rng(seed)), value)
    cotangent = jax.tree_util.tree_map(np.asarray, _as_array("cotangent", given))
    due, got = (jax.tree_util.tree_map(np.shape, tree) for tree in (value, cotangent))
    if due != got:
        raise InvalidArgument(f"cotangent must be shaped like the value of {rule.name}, {due}, got {got}")
    return jax.tree_util.tree_map(_like, cotangent, value)


@lru_cache(maxsize=16)
def _known(seed: int) -> Array:
    """Give what `_drawn` begins with: making a generator takes longer than many a rule does."""
    return np.random.default_rng(seed).integers(0, len(_COTANGENT_STEPS), _KNOWN)


def _drawn(rng: np.random.Generator, value: Array) -> Array:
    steps: Array = _COTANGENT_STEPS[rng.integers(0, len(_COTANGENT_STEPS), value.shape)]
    return steps.astype(value.dtype)


def _like(cotangent: Array, value: Array) -> Array:
    """Give a cotangent the dtype of what it belongs to."""
    if cotangent.dtype.kind not in "biu" and not is_float(cotangent.dtype):
        raise InvalidArgument(f"cotangent must be made of real numbers, got {cotangent.dtype}{cotangent.shape}")
    with np.errstate(over="ignore"):
        cast = cotangent.astype(value.dtype)
    if not np.all(np.isfinite(cast)):
        raise InvalidArgument(f"cotangent must be finite in {value.dtype}, got {cotangent}")
    return cast


def forward_value(rule: Rule, args: tuple[Any, ...], data: dict[str, Any]) -> Any:
    """Run the rule once to learn the structure of its value, on copies, and refuse values that have no derivative."""
    return _first_run(rule, args, data)[0]


def _first_run(rule: Rule, args: tuple[Any, ...], data: dict[str, Any]) -> tuple[Any, Forward]:
    import jax

    try:
        flat = flatten(rule, Point(args, data, None))
    except ValueError as error:
        raise InvalidArgument(
            f"{rule.name}: its arguments hold a dict whose keys cannot be sorted; use strings alone ({error})"
        ) from None
    if any(isinstance(leaf, jax.core.Tracer) for leaf in flat.leaves):
        raise InvalidArgument(f"{rule.name}: an argument is being traced by JAX; check outside of jit, grad and vmap")
    try:
        forward = run(rule, flat)
    except RuleError as error:
        cause = error.__cause__ or error
        if isinstance(cause, (InvalidArgument, RuleError)):
            raise cause from cause.__cause__
        shown = ", ".join(f"{rule.label(i)} {_described(a)}" for i, a in enumerate(args))
        raise RuleError(
            f"{rule.name}: the forward raised {type(cause).__name__}: {cause}\n  called with {shown}"
        ) from cause
    bare = isinstance(forward.out, np.ndarray | np.generic)
    value = forward.value[0] if bare else jax.tree_util.tree_map(np.asarray, forward.out)
    _require_floats(rule, value)
    return value, forward


def _require_floats(rule: Rule, value: Any) -> None:
    leaves = leaves_of(value)
    if not leaves:
        raise InvalidArgument(
            f"{rule.name}: the forward returns {value!r}, which holds no array; does it end without a return?"
        )
    for leaf in leaves:
        if not is_float(leaf.dtype):
            raise InvalidArgument(
                f"{rule.name}: the forward returns {leaf.dtype}{leaf.shape}; "
                "a derivative needs a real floating-point value"
            )
    bare = isinstance(value, np.ndarray)
    if not rule.takes_cotangent and not (bare and value.shape == ()):
        shown = f"has shape {value.shape}" if bare else f"is a {type(value).__name__}"
        raise InvalidArgument(
            f"{rule.name}: the loss {shown}, but from_loss wants a scalar; "
            "reduce it, or use gradcheck.from_vjp(fun, vjp) for values that are arrays"
        )


def _described(value: Any) -> str:
    return f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def warm_up() -> None:
    """Judge something, so that no test's clock has to pay for the first time: JAX's start, and imports (0.7 s)."""
    examine(from_loss(np.sum, np.ones_like), np.ones(2))
