"""Whatever form a gradient comes in, its mutants are like it in all but the edit; or it is said that there are none."""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck import Rule, from_forward_backward, from_loss, from_pullback, from_vjp
from gradcheck.mutation.mutant import Mutant
from gradcheck.mutation.source import Fuse, NoSource, TooLong, compiled, source_of
from gradcheck.mutation.written import Written, written

Function = Callable[..., Any]
Write = Callable[[str, str], Path]

TWO = 2.0


def square(x: Any) -> Any:
    return np.sum(x * x)


def twice(x: Any) -> Any:
    return TWO * x


def helped(x: Any) -> Any:
    return doubled(x)


def doubled(x: Any) -> Any:
    return x + x


def deeper(x: Any) -> Any:
    return helped(x)


def with_defaults(x: Any, *, factor: float = 2.0) -> Any:
    return factor * x


def made_in(factor: float) -> Function:
    def inner(x: Any) -> Any:
        return factor * x

    return inner


def logged(function: Function) -> Function:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@logged
def decorated(x: Any) -> Any:
    return x * 2.0


class Model:
    def __init__(self) -> None:
        self.factor = 2.0

    def grad(self, x: Any) -> Any:
        return self.factor * x

    def __call__(self, x: Any) -> Any:
        return self.factor * x


def scaled(factor: float, x: Any) -> Any:
    return factor * x


def through(derivative: Function, x: Any) -> Any:
    return derivative(x)


def looped(x: Any) -> Any:
    out = np.zeros_like(x)
    for _ in range(2):
        out += x
    return out


first, second = lambda x: x + x, lambda x: 3.0 * x - x


FORMS: dict[str, Function] = {
    "function": twice,
    "a function that calls another": helped,
    "a function that calls one that calls another": deeper,
    "with defaults": with_defaults,
    "closure": made_in(2.0),
    "decorated": decorated,
    "method": Model().grad,
    "callable object": Model(),
    "partial": functools.partial(scaled, 2.0),
    "partial of a partial of a function": functools.partial(functools.partial(through), twice),
    "lambda": lambda x: 2.0 * x,
    "first lambda of a line": first,
    "second lambda of a line": second,
    "loop": looped,
    "a lambda in a lambda": lambda x: (lambda y: y + y)(x),
}


def _mutants(rule: Rule) -> list[Mutant]:
    found, notes = written(rule, 1.0)
    assert notes == []
    return [mutant for source in found for mutant in source.mutants()]


def _answer(rule: Rule, x: Any) -> Any:
    try:
        return rule(x)[1](1.0)
    except Exception as error:
        return error


@pytest.mark.parametrize("grad", FORMS.values(), ids=FORMS)
def test_mutants_differ_from_a_rule_that_stays_as_it_is(grad: Function) -> None:
    x = np.array([1.0, -3.0])
    rule = from_loss(square, grad, name="grad")
    found, notes = written(rule, 1.0)
    assert found
    assert notes == []
    for source in found:
        np.testing.assert_array_equal(_answer(source.as_it_is(), x), 2 * x)
    answers = [_answer(mutant.rule, x) for source in found for mutant in source.mutants()]
    assert len(answers) >= 2
    wrong = [a for a in answers if isinstance(a, Exception) or not np.array_equal(a, 2 * x)]
    assert len(wrong) >= 0.6 * len(answers)
    np.testing.assert_array_equal(_answer(rule, x), 2 * x)
    np.testing.assert_array_equal(grad(x), 2 * x)


def test_the_right_lambda_of_a_line_is_found() -> None:
    assert source_of(first).text == "(lambda x: x + x)"  # type: ignore[arg-type]  # a lambda is a plain function
    assert source_of(second).text == "(lambda x: 3.0 * x - x)"  # type: ignore[arg-type]  # likewise


def test_only_the_derivative_is_mutated() -> None:
    def vjp(x: Any, cotangent: Any) -> Any:
        return cotangent * 2 * x

    def backward(dout: Any, cache: Any) -> Any:
        return dout * 2 * cache

    assert {m.change.where.split()[-1] for m in _mutants(from_vjp(square, vjp))} == {_here(vjp)}
    pair = from_forward_backward(lambda x: (x * x, x), backward)
    assert {m.change.where.split()[-1] for m in _mutants(pair)} == {_here(backward)}


def _here(function: Function) -> str:
    return function.__qualname__.replace("<locals>.", "")


def test_of_a_rule_that_returns_its_pullback_the_pullback_is_mutated() -> None:
    def rule(x: Any) -> Any:
        value = np.sum(x * x)
        slope = 2 * x
        return value + 0, lambda ct: ct * slope

    for made in (from_pullback(rule), Rule(rule, square, "rule")):
        mutants = _mutants(made)
        assert {m.change.diff.splitlines()[1].split()[1] for m in mutants} == {"slope", "return"}
        for mutant in mutants:
            value, pullback = mutant.rule(np.array([3.0]))
            assert value == 9.0
            assert pullback(2.0) != 12.0


def test_a_mutant_keeps_the_settings_of_its_rule() -> None:
    rule = from_loss(square, twice, name="mine", domain=None, argnums=0)
    for mutant in _mutants(rule):
        assert (mutant.rule.name, mutant.rule.forward, mutant.rule.argnums) == ("mine", square, (0,))


def test_a_change_says_where_it_is() -> None:
    changes = {str(mutant.change) for mutant in _mutants(from_loss(square, twice))}
    line = twice.__code__.co_firstlineno + 1
    assert f"test_written.py:{line}, twice: dropped: TWO" in changes


def _executed(source: str) -> Function:
    namespace: dict[str, Any] = {"np": np}
    exec(source, namespace)
    return namespace["grad"]  # type: ignore[no-any-return]  # it is what the source defines


@pytest.mark.parametrize(
    ("grad", "said"),
    [
        (_executed("def grad(x):\n    return 2 * x\n"), "the source of grad cannot be read"),
        (np.negative, ""),
        (np.vectorize(lambda x: 2 * x), ""),
    ],
    ids=["exec", "ufunc", "vectorize"],
)
def test_where_there_is_no_source_that_is_said(grad: Function, said: str) -> None:
    found, notes = written(from_loss(square, grad, name="grad"), 1.0)
    assert found == []
    assert said in " ".join(notes)


def test_a_file_that_has_changed_since_is_not_mutated(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("has_changed.py", "def grad(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(path.parent)
    grad = importlib.import_module("has_changed").grad
    path.write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(NoSource, match="grad"):
        source_of(grad)


def test_private_names_of_classes_are_said_not_to_be_what_the_source_says() -> None:
    class Private:
        __factor = 2.0

        def grad(self, x: Any) -> Any:
            return self.__factor * x

    rule = from_loss(square, Private().grad)
    (source,), _ = written(rule, 1.0)
    assert isinstance(source, Written)
    with pytest.raises(AttributeError):
        source.as_it_is()(np.ones(1))[1](1.0)


def test_a_loop_without_end_is_stopped() -> None:
    def endless(x: Any) -> Any:
        while True:
            x = x + 1

    made = compiled(endless, source_of(endless).text, fuse := Fuse(0.05))  # type: ignore[arg-type]  # plain
    fuse.light()
    with pytest.raises(TooLong, match=r"more than 0\.1 s|more than 0\.0 s"):
        made(0)


def test_a_generator_without_end_is_stopped() -> None:
    def endless(x: Any) -> Any:
        return next(n for n in itertools.count(x) if n < x)

    made = compiled(endless, source_of(endless).text, fuse := Fuse(0.05))  # type: ignore[arg-type]  # plain
    fuse.light()
    with pytest.raises(TooLong):
        made(0)


def test_what_never_ran_is_left_out() -> None:
    def grad(x: Any, *, negative: bool = False) -> Any:
        if negative:
            factor = -2 + 0
            return factor * x
        factor = 2
        for _ in range(1):
            x = x + 0
        return factor * x

    (source,), _ = written(from_loss(square, grad), 1.0)
    assert source.of_what_ran().edits == ()
    assert np.array_equal(source.as_it_is()(np.ones(2))[1](1.0), [2.0, 2.0])
    ran = {source.snippet.line_of(edit) - source.snippet.line for edit in source.of_what_ran().edits}
    assert ran == {4, 5, 6, 7}


def test_a_lit_fuse_burns_anew_for_each_call() -> None:
    (source,), _ = written(from_loss(square, looped), seconds=1000.0)
    rule = source.as_it_is()
    for _ in range(3):
        rule(np.ones(2))[1](1.0)
        assert source.fuse.until < float("inf")
