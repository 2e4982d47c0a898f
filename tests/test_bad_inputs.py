"""What can be passed wrongly to the Python API, and what is said: one row each.

Either an error of this package, or the verdict FAIL or UNDECIDED; never an error from inside NumPy, JAX or
Hypothesis, and never a pass.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import InvalidArgument, Outcome, Rule, domain
from gradcheck import strategies as gst
from gradcheck.errors import DataError, GradcheckError, RuleError

Array: TypeAlias = Any

SEARCH = settings(database=None, phases=[Phase.generate], max_examples=3)


def nll(z: Array, y: Array) -> Any:
    shifted = z - z.max(axis=1, keepdims=True)
    log_a = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_a[np.arange(len(y)), y].sum()


def nll_grad(z: Array, y: Array) -> Array:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    a[np.arange(len(y)), y] -= 1
    return a


def square(x: Array) -> Any:
    return np.sum(x * x)


def twice(x: Array) -> Array:
    return 2 * x


Z = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, 0.25]])
Y = np.array([2, 0])
X = np.array([0.5, -1.25])

NLL = gradcheck.from_loss(nll, nll_grad, name="nll")
SQUARE = gradcheck.from_loss(square, twice, name="square")
SINE = gradcheck.from_vjp(np.sin, lambda x, cotangent: cotangent * np.cos(x), name="sine")


@dataclass(frozen=True)
class Bad:
    """A bad input: the call, what becomes of it, and a fragment of what is said."""

    what: str
    call: Callable[[], Any]
    becomes: type[GradcheckError] | Outcome
    says: str


def examined(*args: Any, rule: Rule = SQUARE, **options: Any) -> Callable[[], Any]:
    return lambda: gradcheck.examine(rule, *args, **options)


def quietly(call: Callable[[], Any]) -> Callable[[], Any]:
    """Keep NumPy from warning, which here is an error."""

    def quiet() -> Any:
        with np.errstate(all="ignore"):
            return call()

    return quiet


def answering(gradient: Any) -> Callable[[], Any]:
    """Examine the square function with this in place of a gradient."""
    return examined(X, rule=gradcheck.from_loss(square, lambda x: copy(gradient), name="r"))


def valued(value: Any) -> Callable[[], Any]:
    """Examine a loss with this in place of a value."""
    return examined(X, rule=gradcheck.from_loss(lambda x: value, twice, name="r"))


def verified(*source: Any, rule: Any = SQUARE, **options: Any) -> Callable[[], Any]:
    return lambda: gradcheck.verify(rule, *source, **{"settings": SEARCH} | options)


def raising(error: Exception) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        raise error

    return function


ARGUMENTS = (
    Bad("no arguments", examined(rule=NLL), InvalidArgument,
        "argnums names argument 0, but only 0 positional arguments came"),
    Bad("no arguments of a vjp", examined(rule=SINE), InvalidArgument,
        "nothing to differentiate among its positional arguments (no arguments); pass the primals as floating-point"),
    Bad("labels left out", examined(Z, rule=NLL), RuleError,
        "the forward raised TypeError: nll() missing 1 required positional argument: 'y'"),
    Bad("an argument too many", examined(Z, Y, 3, rule=NLL), RuleError,
        "called with z float64(2, 3), y int64(2,), args[2] int"),
    Bad("an unknown keyword", examined(Z, Y, wieght=1.0, rule=NLL), RuleError,
        "got an unexpected keyword argument 'wieght'"),
    Bad("a case that is not unpacked", examined((Z, Y), rule=NLL), InvalidArgument,
        "z[1] is to be differentiated but is int64(2,); pass a floating-point array, float64 or narrower"),
    Bad("a strategy for an array", examined(gst.logits(), rule=NLL), InvalidArgument,
        "z is to be differentiated but is LazyStrategy; pass a floating-point array"),
    Bad("a label out of range", examined(Z, np.array([3, 0]), rule=NLL), RuleError,
        "the forward raised IndexError: index 3 is out of bounds for axis 1 with size 3\n  called with z float64"),
    Bad("labels that are NaN", examined(Z, np.array([np.nan, 0.0]), rule=NLL), RuleError,
        "the forward raised IndexError: arrays used as indices must be of integer (or boolean) type"),
    Bad("more labels than rows", examined(Z, np.array([0, 1, 2]), rule=NLL), RuleError,
        "called with z float64(2, 3), y int64(3,)"),
    Bad("integer logits", examined(np.array([[1, 2]]), Y[:1], rule=NLL), InvalidArgument,
        "z is to be differentiated but is int64(1, 2); pass a floating-point array"),
    Bad("a nested list of integers", examined([[1, 2], [3, 4]], Y, rule=NLL), InvalidArgument,
        "z is to be differentiated but is int64(2, 2)"),
    Bad("complex logits", examined(Z + 0j, Y, rule=NLL), InvalidArgument,
        "z is to be differentiated but is complex128(2, 3)"),
    Bad("logits of objects", examined(Z.astype(object), Y, rule=NLL), InvalidArgument,
        "z is to be differentiated but is object(2, 3)"),
    Bad("logits of strings", examined(np.array([["a", "b"]]), Y[:1], rule=NLL), InvalidArgument,
        "z is to be differentiated but is <U1(1, 2)"),
    Bad("a string", examined("logits", Y, rule=NLL), InvalidArgument, "z is to be differentiated but is str"),
    Bad("None", examined(None, Y, rule=NLL), InvalidArgument, "z is to be differentiated but is NoneType"),
    Bad("a Python number", examined(3.0), InvalidArgument, "x is to be differentiated but is float"),
    Bad("a ragged list", examined([[1.0, 2.0], [3.0]], Y, rule=NLL), InvalidArgument,
        "z is a nested list that is ragged and spells no array"),
    Bad("a masked array", examined(np.ma.masked_less(X, 0.0)), InvalidArgument,
        "x is a masked array, whose mask no oracle would see: pass x.filled(...)"),
    Bad("a tree with a leaf of integers", examined({"w": X, "n": np.array([1])}), InvalidArgument,
        "x['n'] is to be differentiated but is int64(1,)"),
    Bad("an empty tree", examined({}), InvalidArgument, "x is to be differentiated but is an empty dict"),
    Bad("a tree whose keys cannot be sorted", examined({"w": X, 1: X}), InvalidArgument,
        "its arguments hold a dict whose keys cannot be sorted; use strings alone"),
    Bad("an array that JAX is tracing", lambda: jax.jit(lambda x: bool(gradcheck.check(SQUARE, x)))(X), InvalidArgument,
        "an argument is being traced by JAX; check outside of jit, grad and vmap"),
    Bad("logits that are NaN", quietly(examined(np.full((2, 3), np.nan), Y, rule=NLL)), Outcome.UNDECIDED,
        "the forward is not finite at this point, so it has no derivative there: write it in a form that stays"),
    Bad("logits that are infinite", quietly(examined(np.full((2, 3), np.inf), Y, rule=NLL)), Outcome.UNDECIDED,
        "the forward is not finite at this point"),
)  # fmt: skip

MAKERS = (
    Bad("a function for a rule", lambda: gradcheck.examine(nll_grad, Z, Y), InvalidArgument,  # type: ignore[arg-type]
        "the first argument must be a rule, got function; make one: gradcheck.from_loss(loss, grad)"),
    Bad("None for a rule", lambda: gradcheck.check(None, Z, Y), InvalidArgument,  # type: ignore[arg-type]
        "the first argument must be a rule, got NoneType"),
    Bad("a gradient that is no function", lambda: gradcheck.from_loss(nll, Z), InvalidArgument,  # type: ignore[arg-type]
        "grad must be a function, got grad=array("),
    Bad("a reference that is no function", lambda: gradcheck.from_loss(nll, nll_grad, reference="jax"),  # type: ignore[arg-type]
        InvalidArgument, "reference must be a function, got reference='jax' (str)"),
    Bad("a name that is no string", lambda: gradcheck.from_loss(nll, nll_grad, name=nll), InvalidArgument,  # type: ignore[arg-type]
        "name must be a string, got name=<function nll"),
    Bad("argnums beyond the arguments", examined(X, rule=gradcheck.from_loss(square, twice, argnums=2, name="r")),
        InvalidArgument, "r: argnums names argument 2, but only 1 positional arguments came"),
    Bad("argnums of data", examined(Z, Y, rule=gradcheck.from_loss(nll, nll_grad, argnums=1, name="r")),
        InvalidArgument, "r: y is to be differentiated but is int64(2,)"),
    Bad("negative argnums", lambda: gradcheck.from_loss(square, twice, argnums=-1), InvalidArgument,
        "argnums must be a position or a tuple of positions counted from 0, got argnums=-1"),
    Bad("argnums that is a truth value", lambda: gradcheck.from_loss(square, twice, argnums=True), InvalidArgument,
        "argnums must be a position or a tuple of positions counted from 0, got argnums=True"),
    Bad("argnums that is a name", lambda: gradcheck.from_loss(square, twice, argnums="x"), InvalidArgument,  # type: ignore[arg-type]
        "argnums must be a position or a tuple of positions counted from 0, got argnums='x'"),
    Bad("argnums with one position twice", lambda: gradcheck.from_vjp(square, twice, argnums=(0, 0)), InvalidArgument,
        "argnums must name at least one position, each once, got argnums=(0, 0)"),
    Bad("a forward without a cache", examined(X, rule=gradcheck.from_forward_backward(square, twice, name="r")),
        InvalidArgument, "r: forward must return the pair (out, cache), got float64; a forward that returns its value"),
    Bad("a forward without a pullback", examined(X, rule=gradcheck.from_pullback(square, name="r")),
        InvalidArgument, "r: must return the pair (out, pullback), got float64"),
)  # fmt: skip

OPTIONS = (
    Bad("a cotangent of another shape", examined(X, rule=SINE, cotangent=np.ones(3)), InvalidArgument,
        "cotangent must be shaped like the value of sine, (2,), got (3,)"),
    Bad("a cotangent in a tree", examined(X, rule=SINE, cotangent={"x": X}), InvalidArgument,
        "cotangent must be shaped like the value of sine, (2,), got {'x': (2,)}"),
    Bad("a ragged cotangent", examined(X, rule=SINE, cotangent=[[1.0], 2.0]), InvalidArgument,
        "cotangent is a nested list that is ragged and spells no array"),
    Bad("a complex cotangent", examined(X, rule=SINE, cotangent=X * 1j), InvalidArgument,
        "cotangent must be made of real numbers, got complex128(2,)"),
    Bad("a cotangent of strings", examined(X, rule=SINE, cotangent=np.array(["a", "b"])), InvalidArgument,
        "cotangent must be made of real numbers, got <U1(2,)"),
    Bad("a cotangent that is NaN", examined(X, rule=SINE, cotangent=[np.nan, 1.0]), InvalidArgument,
        "cotangent must be finite in float64, got [nan  1.]"),
    Bad("a cotangent of a loss", examined(X, cotangent=2.0), InvalidArgument,
        "square is a pair of loss and gradient and takes no cotangent; leave cotangent= out"),
    Bad("a negative seed", examined(X, seed=-1), InvalidArgument,
        "seed must be an integer from 0 up, got seed=-1 (int)"),
    Bad("a seed that is a string", examined(X, seed="x"), InvalidArgument,
        "seed must be an integer from 0 up, got seed='x' (str)"),
    Bad("a kept failure that is not there", lambda: gradcheck.load_failure("nowhere.npz"), DataError,
        "nowhere.npz: no such file; kept failures lie in .gradcheck/failures"),
)  # fmt: skip

FORWARDS = (
    Bad("a forward that raises", examined(X, rule=gradcheck.from_loss(raising(KeyError("W")), twice, name="r")),
        RuleError, "r: the forward raised KeyError: 'W'\n  called with args[0] float64(2,)"),
    Bad("a forward that returns None", valued(None), InvalidArgument,
        "r: the forward returns None, which holds no array; does it end without a return?"),
    Bad("a forward that returns a string", valued("0.5"), InvalidArgument,
        "r: the forward returns <U3(); a derivative needs a real floating-point value"),
    Bad("a forward that returns an integer", valued(3), InvalidArgument,
        "r: the forward returns int64(); a derivative needs a real floating-point value"),
    Bad("a forward that returns a complex number", valued(1j), InvalidArgument, "r: the forward returns complex128()"),
    Bad("a loss that is not scalar", valued(X), InvalidArgument,
        "r: the loss has shape (2,), but from_loss wants a scalar; reduce it, or use gradcheck.from_vjp(fun, vjp)"),
    Bad("a loss with its gradient", valued((0.5, X)), InvalidArgument,
        "r: the loss is a tuple, but from_loss wants a scalar"),
    Bad("a ragged loss", valued([[1.0], [1.0, 2.0]]), InvalidArgument, "r: the loss is a list, but from_loss wants a"),
)  # fmt: skip

GRADIENTS = (
    Bad("a gradient that raises", examined(X, rule=gradcheck.from_loss(square, raising(IndexError("5")), name="r")),
        Outcome.FAIL, "the gradient raised IndexError: 5 (called with x float64(2,))"),
    Bad("a gradient that returns nothing", answering(None), Outcome.FAIL,
        "the cotangent of x is None; does the function end without a return?"),
    Bad("a gradient that is a number", answering(1.0), Outcome.FAIL,
        "the cotangent of x has shape (), its primal (2,)"),
    Bad("a gradient of another shape", answering(np.ones(3)), Outcome.FAIL,
        "the cotangent of x has shape (3,), its primal (2,)"),
    Bad("a complex gradient", answering(X * 1j), Outcome.FAIL, "the cotangent of x is complex128, not floating-point"),
    Bad("a gradient of objects", answering(X.astype(object)), Outcome.FAIL,
        "the cotangent of x is object, not floating-point"),
    Bad("a gradient of integers", answering(np.array([1, 2])), Outcome.FAIL,
        "the cotangent of x is int64, not floating-point"),
    Bad("a gradient in float32", answering(X.astype(np.float32)), Outcome.FAIL,
        "the cotangent of x is float32, its primal float64: compute and return it in the primal's dtype"),
    Bad("a gradient that is a string", answering("ab"), Outcome.FAIL,
        "the cotangent of x is a str that spells no array"),
    Bad("a gradient in a tree", answering({"x": X}), Outcome.FAIL, "the cotangent of x is a dict that spells no array"),
    Bad("a ragged gradient", answering([[1.0], 2.0]), Outcome.FAIL, "the cotangent of x is ragged"),
    Bad("two gradients for one argument", answering((X, X)), Outcome.FAIL,
        "x is one array, but its cotangent is a tuple of 2: return the array itself"),
    Bad("one gradient for two arguments", examined(X, X, rule=gradcheck.from_vjp(np.multiply, lambda x, y, c: c * y)),
        Outcome.FAIL, "as a tuple in that order; got one ndarray"),
    Bad("a gradient that is NaN", answering(X * np.nan), Outcome.FAIL,
        "entries differ from the reference by more than rounding explains"),
    Bad("the argument itself for a gradient", examined(X, rule=gradcheck.from_loss(square, lambda x: x, name="r")),
        Outcome.FAIL, "the cotangent of x shares memory with an argument or with the cotangent that came in: return a"),
)  # fmt: skip

VERIFY = (
    Bad("example arguments for a strategy", verified((X,)), InvalidArgument,
        "got tuple; example arguments go into verify(rule, like=(...))"),
    Bad("no strategy", verified(), InvalidArgument,
        "verify needs exactly one source of points: a strategy of tuples, like=(example arguments), or args="),
    Bad("two sources", verified(gst.softmax_nll(), like=(X,)), InvalidArgument, "got cases and like="),
    Bad("a function to verify", verified(gst.softmax_nll(), rule=nll_grad), InvalidArgument,
        "the first argument must be a rule, got function"),
    Bad("a strategy of arrays", verified(st.just(X)), InvalidArgument,
        "cases must draw tuples of arguments, but drew one ndarray; pass args=(strategy,) instead"),
    Bad("a strategy of numbers", verified(st.floats(1, 2)), InvalidArgument,
        "cases must draw tuples of arguments, but drew one float; pass args=(strategy,) instead"),
    Bad("a strategy that draws nothing", verified(st.nothing()), InvalidArgument,
        "square: Hypothesis cannot draw points to check: Cannot generate test cases from empty strategy"),
    Bad("a strategy that rejects everything", verified(st.tuples(st.just(X)).filter(lambda _: False)), InvalidArgument,
        "square: Hypothesis cannot draw points to check: "),
    Bad("a strategy that is itself wrong", verified(st.tuples(st.floats(2, 1))), InvalidArgument,
        "square: Hypothesis cannot draw points to check: "),
    Bad("an example that is no tuple", verified(like=X), InvalidArgument,
        "like must be a tuple with one entry per argument, got ndarray: write like=(...,)"),
    Bad("an example without floats", verified(like=(Y,)), InvalidArgument,
        "x is to be differentiated but is int64(2,)"),
    Bad("an empty example", verified(like=()), InvalidArgument, "only 0 positional arguments came"),
    Bad("strategies that are no tuple", verified(args=gst.logits()), InvalidArgument,
        "args must be a tuple with one entry per argument, got LazyStrategy: write args=(...,)"),
    Bad("arrays for strategies", verified(args=(X,)), InvalidArgument, "pass a strategy"),
    Bad("no examples", verified(like=(X,), examples=0), InvalidArgument,
        "examples must be an integer from 1 up, got examples=0 (int)"),
    Bad("examples that is a truth value", verified(like=(X,), examples=True), InvalidArgument,
        "examples must be an integer from 1 up, got examples=True (bool)"),
    Bad("half an example", verified(like=(X,), examples=0.5), InvalidArgument,
        "examples must be an integer from 1 up, got examples=0.5 (float)"),
    Bad("settings that are a dict", verified(like=(X,), settings={"max_examples": 3}), InvalidArgument,
        "settings must be hypothesis.settings(...), got {'max_examples': 3} (dict)"),
    Bad("settings without a phase", verified(like=(X,), settings=settings(database=None, phases=[])), InvalidArgument,
        "square: no point was drawn, so nothing was checked; ask for examples"),
    Bad("a random generator for a seed", verified(like=(X,), seed=np.random.default_rng(0)), InvalidArgument,
        "seed must be an integer from 0 up, got seed=Generator(PCG64)"),
    Bad("one rule for many", lambda: gradcheck.parametrize(SQUARE, gst.softmax_nll()), InvalidArgument,  # type: ignore[arg-type]
        "rules must be a mapping of ids to rules, or a list of them, got Rule"),
    Bad("no rules", lambda: gradcheck.parametrize([], gst.softmax_nll()), InvalidArgument,
        "rules is empty, so nothing would be tested; pass at least one"),
    Bad("functions for rules", lambda: gradcheck.parametrize({"nll": nll}, gst.softmax_nll()), InvalidArgument,  # type: ignore[dict-item]
        "rules['nll'] must be a rule, got function"),
)  # fmt: skip

POSITIVE = gradcheck.from_loss(lambda x: -np.sum(np.log(x)), lambda x: -1 / x, name="r", domain=domain.positive)
SHARES = gradcheck.from_loss(square, twice, name="r", domain={"x": domain.simplex})

DOMAINS = (
    Bad("a string for a domain", lambda: gradcheck.from_loss(square, twice, domain="positive"), InvalidArgument,
        "domain='positive' (str): pass one of gradcheck.domain, such as gradcheck.domain.positive"),
    Bad("a domain of no argument", lambda: gradcheck.from_loss(square, twice, domain={"z": domain.real}),
        InvalidArgument, "domain names argument 'z': pass positions counted from 0, or names of arguments, which are"),
    Bad("a domain of data", lambda: gradcheck.from_loss(nll, nll_grad, domain={"y": domain.positive}), InvalidArgument,
        "domain names argument 'y', which is not differentiated: argnums=(0,)"),
    Bad("ends the wrong way round", lambda: domain.bounded(1, 0), InvalidArgument,
        "bounded(1.0, 0.0): pass two numbers, the lower first"),
    Bad("a point outside its domain", examined([0.5, -1.25], rule=POSITIVE), InvalidArgument,
        "r: x[1] is -1.25, outside gradcheck.domain.positive: give numbers above 0"),
    Bad("an end that is none", examined([0.5, 0.0], rule=POSITIVE), InvalidArgument, "r: x[1] is 0, outside"),
    Bad("NaN in a domain", examined([0.5, np.nan], rule=POSITIVE), InvalidArgument, "r: x[1] is nan, outside"),
    Bad("rows that do not sum to one", examined([[0.5, 0.5], [0.5, 0.75]], rule=SHARES), InvalidArgument,
        "r: x[1] sums to 1.25, outside gradcheck.domain.simplex: divide each row by its sum"),
    Bad("a number for a row", examined(np.array(1.0), rule=SHARES), InvalidArgument,
        "r: x has shape (), outside gradcheck.domain.simplex: give rows along a last axis"),
    Bad("an example outside the domain", verified(like=(X,), rule=POSITIVE), InvalidArgument,
        "r: x[1] is -1.25, outside gradcheck.domain.positive"),
    Bad("drawn points outside the domain", verified(args=(st.just(X),), rule=POSITIVE), InvalidArgument,
        "x[1] is -1.25, outside gradcheck.domain.positive"),
)  # fmt: skip

TABLE = (*ARGUMENTS, *MAKERS, *OPTIONS, *FORWARDS, *GRADIENTS, *VERIFY, *DOMAINS)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.what)
def test_a_bad_input_is_told_what_to_do(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # failures are kept under the working directory
    if isinstance(bad.becomes, Outcome):
        report = bad.call()
        assert report.outcome is bad.becomes
        assert bad.says in report.verdict.reason
        return
    with pytest.raises(GradcheckError) as caught:
        bad.call()
    assert type(caught.value) is bad.becomes
    assert bad.says in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # as pytest-xdist does


def test_the_same_calls_with_good_inputs_pass() -> None:
    assert gradcheck.examine(NLL, Z, Y)
    assert gradcheck.examine(SINE, X, cotangent=[1.0, 2.0], seed=3)
    assert examined(X)()
    assert examined({"w": X}, rule=gradcheck.from_loss(lambda p: square(p["w"]), lambda p: {"w": 2 * p["w"]}))()
    assert verified(like=(X,), examples=2, seed=0)()
    assert verified(gst.softmax_nll(), rule=NLL)()
    assert verified(args=(st.just(X),))()
    assert callable(gradcheck.parametrize([SQUARE, NLL], gst.softmax_nll()))


def test_the_table_is_broad_and_every_row_its_own() -> None:
    assert len(TABLE) >= 25
    assert len({bad.what for bad in TABLE}) == len(TABLE)
    assert {bad.becomes for bad in TABLE} >= {InvalidArgument, RuleError, DataError, Outcome.FAIL, Outcome.UNDECIDED}
