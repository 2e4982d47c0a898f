from __future__ import annotations

import math
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradcheck
from gradcheck.report import Report
from gradcheck.report.code import as_code, reproduction
from gradcheck.targets import load_module

MakeReport = Callable[..., Report]
Python = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[[str, str], Path]


def _same(first: Any, second: Any) -> bool:
    """Equal bit for bit, except that one NaN is as good as another."""
    if isinstance(first, dict):
        return list(first) == list(second) and all(map(_same, first.values(), second.values()))
    if isinstance(first, (list, tuple)):
        return type(first) is type(second) and len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, np.ndarray):
        return (first.dtype, first.shape) == (second.dtype, second.shape) and _same_entries(first, second)
    if isinstance(first, float):
        return type(second) is float and _same_entries(np.float64(first), np.float64(second))
    return type(first) is type(second) and bool(first == second)


def _same_entries(first: Any, second: Any) -> bool:
    if first.dtype.kind not in "fV":
        return bool(np.array_equal(first, second))
    equal = (first == second) & (np.signbit(first) == np.signbit(second))
    return bool(np.all(equal | (np.isnan(first) & np.isnan(second))))


def _evaluated(code: str) -> Any:
    return eval(code, {"np": np, "ml_dtypes": ml_dtypes})


DTYPES = st.sampled_from(["float64", "float32", "float16", "int64", "int32", "uint8", "bool"]).map(np.dtype)
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
KEYS = st.one_of(st.text(max_size=5), st.integers(), st.booleans().map(lambda flag: (flag, 1)))
TREES = st.recursive(
    ARRAYS | PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=6,
)


@given(TREES)
def test_code_evaluates_to_the_value_bit_for_bit(value: Any) -> None:
    assert _same(value, _evaluated(as_code(value)))


@given(st.integers(0, 2**32 - 1))
def test_every_float32_survives(bits: int) -> None:
    value = np.array([bits], np.uint32).view(np.float32)
    assert _same(value, _evaluated(as_code(value)))


@pytest.mark.parametrize("bits", [0x15AE43FD, 0x95AE43FD])
def test_digits_that_would_be_rounded_twice_are_not_used(bits: int) -> None:
    value = np.array([bits], np.uint32).view(np.float32)
    assert np.float32(float(str(value[0]))) != value[0], "the shortest digits name a neighbour"
    assert _same(value, _evaluated(as_code(value)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_precision_number_survives(dtype: Any) -> None:
    value = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):  # widening a signalling NaN
        assert _same(value, _evaluated(as_code(value)))


def test_code_is_as_short_as_it_can_be() -> None:
    assert as_code(np.array([[0.1, 2.0]])) == "np.array([[0.1, 2.0]])"
    assert as_code(np.array([0.1], np.float32)) == "np.array([0.1], dtype='float32')"
    assert as_code(np.array([1, 2])) == "np.array([1, 2])"
    assert as_code(np.zeros((0, 3), np.float32)) == "np.zeros((0, 3), dtype='float32')"
    assert as_code(np.float64(2.0)) == "np.array(2.0)"
    assert as_code({"W": (np.array([-0.0]),), 1: [math.inf, None]}) == "{'W': (np.array([-0.0]),), 1: [np.inf, None]}"


def test_a_function_is_left_to_the_reader() -> None:
    assert as_code({"activation": np.tanh, "axis": 1}) == "{'activation': ..., 'axis': 1}"


class Pair(NamedTuple):
    z: Any
    y: Any


def test_a_named_tuple_is_written_as_the_tuple_it_is() -> None:
    assert as_code(Pair(1, 2)) == "(1, 2)"


def test_the_whole_test(make_report: MakeReport) -> None:
    report = make_report(args=(np.array([[0.5, -1.0]]), np.array([1])), kwargs={"reduction": "sum"})
    assert reproduction(report) == textwrap.dedent("""\
        import numpy as np

        import gradcheck
        from hand import nll, nll_grad


        def test_nll_grad():
            rule = gradcheck.from_loss(nll, nll_grad)
            gradcheck.check(rule, np.array([[0.5, -1.0]]), np.array([1]), reduction='sum')""")


def test_what_decided_is_passed_on(make_report: MakeReport) -> None:
    report = make_report(
        name="hand.Layer.backward",
        maker="from_vjp",
        target=("hand:Layer.forward", "other:backward"),
        argnums=(0, 2),
        takes_cotangent=True,
        args=(np.array([1.0], ml_dtypes.bfloat16),),
        cotangent=np.array([0.5], ml_dtypes.bfloat16),
        seed=3,
    )
    assert reproduction(report) == textwrap.dedent("""\
        import ml_dtypes
        import numpy as np

        import gradcheck
        from hand import Layer
        from other import backward


        def test_backward():
            rule = gradcheck.from_vjp(Layer.forward, backward, argnums=(0, 2))
            gradcheck.check(
                rule,
                np.array([1.0], dtype=ml_dtypes.bfloat16),
                cotangent=np.array([0.5], dtype=ml_dtypes.bfloat16),
                seed=3,
            )""")


@pytest.mark.parametrize("changed", [{"target": ()}, {"maker": ""}])
def test_a_rule_that_cannot_be_imported_is_left_to_its_author(make_report: MakeReport, changed: dict[str, Any]) -> None:
    text = reproduction(make_report(name="half square/mean", **changed))
    assert "    rule = ...  # the rule, as you made it" in text
    assert "def test_half_square_mean():" in text
    compile(text, "pasted", "exec")


@pytest.mark.parametrize(
    "args",
    [(np.zeros(65),), ({"W": np.zeros((8, 8)), "b": np.zeros(8)},), (np.zeros(40), np.zeros(40))],
    ids=["array", "tree", "together"],
)
def test_large_arrays_are_read_from_the_file(make_report: MakeReport, args: Any) -> None:
    text = reproduction(make_report(args=args, saved=Path("f/x.npz"), takes_cotangent=True))
    assert "    case = gradcheck.load_failure('f/x.npz')\n" in text
    assert "gradcheck.check(rule, *case.args, **case.kwargs, cotangent=case.cotangent)" in text
    unkept = reproduction(make_report(args=args))
    assert "case = ...  # too large to paste" in unkept
    assert max(map(len, unkept.splitlines())) < 120


def test_a_script_is_imported_by_its_file_name(make_report: MakeReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("__main__.__file__", "/somewhere/mine.py", raising=False)
    report = make_report(target=("__main__:nll", "__main__:nll_grad"))
    assert "from mine import nll, nll_grad" in reproduction(report)


HAND_WRITTEN = """
    import numpy as np

    def energy(w, strength):
        return 0.5 * strength * np.sum(w * w)

    def energy_grad(w, strength):
        return strength * np.abs(w)
"""


def test_the_pasted_test_fails_until_the_gradient_is_right(write: Write, python: Python) -> None:
    module = load_module(str(write("hand_written.py", HAND_WRITTEN)))
    rule = gradcheck.from_loss(module.energy, module.energy_grad)
    with pytest.raises(gradcheck.GradientMismatch) as caught:
        gradcheck.check(rule, np.array([0.1, -0.3], np.float32), strength=2.0)
    pasted = str(caught.value).partition("paste this test:\n")[2]
    Path("test_pasted.py").write_text(pasted, encoding="utf-8")

    run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_pasted.py")
    failed = python(*run, cwd=Path.cwd())
    assert failed.returncode == 1, failed.stdout
    assert "GradientMismatch: FAIL hand_written.energy_grad: " in failed.stdout
    assert re.search(r"FAILED test_pasted.py::test_energy_grad", failed.stdout)

    write("hand_written.py", HAND_WRITTEN.replace("np.abs(w)", "w"))
    passed = python(*run, cwd=Path.cwd())
    assert passed.returncode == 0, passed.stdout
    assert "1 passed" in passed.stdout
