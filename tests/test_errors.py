from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck import errors

NODE = re.compile(r"(?P<branches>[ │├└─]*)(?P<name>[A-Z]\w+)(?: \(also (?P<also>\w+)\))?(?:  |$)")
INDENT = 4  # columns a branch of the drawing takes


def drawn_tree(text: str) -> dict[str, set[str]]:
    """Read the parents of every class out of the drawing in a docstring."""
    lines = inspect.cleandoc(text).split("::\n\n", 1)[1].split("\n\n", 1)[0].splitlines()
    parents: dict[str, set[str]] = {}
    path: list[str] = []
    for line in lines:
        found = NODE.match(line[INDENT:])
        assert found, line
        depth = len(found["branches"]) // INDENT
        path[depth:] = [found["name"]]
        parents[found["name"]] = {path[depth - 1] if depth else "Exception"} | ({found["also"]} - {None})
    return parents


def real_tree() -> dict[str, set[str]]:
    """Ask Python for the parents of every class that is defined there."""
    return {
        name: {base.__name__ for base in value.__bases__}
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }


def test_the_tree_that_is_drawn_is_the_real_one() -> None:
    assert drawn_tree(errors.__doc__ or "") == real_tree()


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("    ├── DataError ", "    ├── DateError "),
        ("(also ValueError)", "(also TypeError)"),
        ("        └── GradientUndecided ", "    └── GradientUndecided "),
    ],
)
def test_another_drawing_would_be_noticed(line: str, instead: str) -> None:
    text = errors.__doc__ or ""
    assert line in text
    assert drawn_tree(text.replace(line, instead)) != real_tree()


def test_every_class_is_public() -> None:
    assert set(errors.__all__) == set(real_tree())


def _failed_report() -> Any:
    rule = gradcheck.from_loss(lambda x: np.sum(x * x), lambda x: 3 * x, name="three halves")
    return gradcheck.examine(rule, np.array([1.0, -2.0]))


MAKE: dict[str, Callable[[], Exception]] = {
    "GradcheckError": lambda: errors.GradcheckError("something"),
    "InvalidArgument": lambda: errors.InvalidArgument("argnums must be a position, got argnums='z'"),
    "RuleError": lambda: errors.RuleError("nll: the forward raised IndexError"),
    "TargetError": lambda: errors.TargetError("a.py:b"),
    "DataError": lambda: errors.DataError("train-images: truncated"),
    "MissingExtra": lambda: errors.MissingExtra("the exact oracle", "python-flint", "exact"),
    "TrainingDiverged": lambda: errors.TrainingDiverged(float("inf"), 2, 7, 0.5),
    "CheckFailed": lambda: errors.CheckFailed(_failed_report()),
    "GradientMismatch": lambda: errors.GradientMismatch(_failed_report()),
    "GradientUndecided": lambda: errors.GradientUndecided(_failed_report()),
}


def _data(error: Exception) -> dict[str, Any]:
    """What an exception carries, reports as their text."""
    return {name: str(value) if name == "report" else value for name, value in vars(error).items()}


@pytest.mark.parametrize("name", sorted(real_tree()))
def test_each_survives_pickling_with_what_it_carries(name: str) -> None:
    error = MAKE[name]()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) is getattr(errors, name)
    assert str(again) == str(error)
    assert _data(again) == _data(error)


class Lossy(errors.GradcheckError):
    """Formats its message before it keeps what went into it."""

    def __init__(self, loss: float, step: int) -> None:
        super().__init__(f"the loss is {loss} at step {step}")


def test_an_error_that_does_not_survive_pickling_would_be_noticed() -> None:
    with pytest.raises(TypeError, match="step"):
        pickle.loads(pickle.dumps(Lossy(1.0, 2)))


def test_a_report_comes_through_with_its_arrays() -> None:
    again = pickle.loads(pickle.dumps(errors.GradientMismatch(_failed_report())))
    np.testing.assert_array_equal(again.report.point.args[0], [1.0, -2.0])
    np.testing.assert_array_equal(again.report.verdict.discrepancies[0].analytic, [3.0, -6.0])


def test_messages_say_what_to_do() -> None:
    assert str(MAKE["MissingExtra"]()) == (
        "the exact oracle needs python-flint, which is not installed: python -m pip install 'gradcheck[exact]'"
    )
    assert "in epoch 2 at step 7, where the learning rate is 0.5: try a tenth of it" in str(MAKE["TrainingDiverged"]())
    assert str(errors.TrainingDiverged(float("nan"), 0, 0, 0.1)) == (
        "the loss is nan before the first step: check the loss itself"
    )
    assert "three halves" in str(MAKE["GradientMismatch"]())


def test_each_is_caught_as_what_python_users_expect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rule = gradcheck.from_loss(lambda x: np.sum(x * x), lambda x: 3 * x, name="three halves")
    with pytest.raises(AssertionError):
        gradcheck.check(rule, np.ones(2))
    with pytest.raises(ValueError, match="must be a function"):
        gradcheck.from_loss(3, 4)  # type: ignore[arg-type]  # the mistake under test
