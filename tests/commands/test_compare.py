from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gradcheck.cli import main
from gradcheck.errors import InvalidArgument
from gradcheck.report import load_failure
from gradcheck.targets import resolve_rule
from gradcheck.verification.comparing import compare

Write = Callable[[str, str], Path]
Captured = pytest.CaptureFixture[str]

# Softmax + negative log-likelihood; {top} is taken off the logits of the gradient before they are exponentiated.
NLL = """
    import numpy as np
    from gradcheck import strategies as gst

    def log_softmax(z):
        z = z - z.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    def nll(z, y):
        return -np.sum(log_softmax(z)[np.arange(len(y)), y])

    def nll_grad(z, y):
        with np.errstate(all="ignore"):
            e = np.exp(z - {top})
            return e / e.sum(axis=1, keepdims=True) - (np.arange(z.shape[1]) == y[:, None])
"""
CASES = '\n    cases = gst.softmax_nll(classes=3, rows=(1, 2), regimes=["ordinary", "huge", "ties"])\n'
RIGHT, OVERFLOWS = NLL.format(top="z.max(axis=1, keepdims=True)"), NLL.format(top="0")


def _compare(*arguments: str) -> int:
    return main(["compare", *arguments, "--examples", "30"])


def test_what_is_mended(write: Write, capsys: Captured) -> None:
    write("old.py", OVERFLOWS)
    write("new.py", RIGHT + CASES)
    assert _compare("old.py:nll", "new.py:nll_grad") == 0
    header, passed, failed, *rest = capsys.readouterr().out.splitlines()
    assert header.split() == ["old.py:nll", "new.py:nll_grad"]
    assert passed.split()[0] == "PASS"
    assert passed.endswith("30 points")
    assert failed.split()[0] == "FAIL"
    assert failed.endswith(" 0 points")
    count = int(failed.split()[1])
    assert 0 < count < 30
    assert not any(", huge" in line and "of what is allowed" in line for line in rest), "no point of it passes in both"
    assert f"mended at {count} points, FAIL before and PASS now: huge {count} of {count}, " in "\n".join(rest)
    assert not Path(".gradcheck").exists(), "the new one has not failed"


def test_what_got_worse_and_the_smallest_point_that_shows_it(write: Write, capsys: Captured) -> None:
    write("v1/losses.py", RIGHT)
    write("v2/losses.py", OVERFLOWS + CASES)
    assert _compare("v1/losses.py:nll", "v2/losses.py:nll") == 1
    text = capsys.readouterr().out
    assert "worse at " in text
    assert "  z           (1, 3): " in text, "one row, of one or two"
    (kept,) = Path(".gradcheck/failures").iterdir()
    assert f"gradcheck replay {kept}" in text
    assert {Path(file).parent.name for file in load_failure(kept).files} == {"v2"}


def test_nothing_moved(write: Write, capsys: Captured) -> None:
    write("mine.py", RIGHT + CASES)
    assert _compare("mine.py:nll", "mine.py:nll") == 0
    assert capsys.readouterr().out.endswith("\nnothing got worse, and nothing was mended\n")
    write("wrong.py", OVERFLOWS + CASES)
    assert _compare("wrong.py:nll", "wrong.py:nll") == 1, "as wrong as before is wrong"
    assert "nothing got worse, and nothing was mended\n\nFAIL wrong.nll_grad: " in capsys.readouterr().out


def test_closer_to_being_wrong(write: Write, capsys: Captured) -> None:
    pytest.importorskip("flint")  # without balls the allowance is a sampled one, and wider
    source = """
        import numpy as np
        from gradcheck import strategies as gst

        def half(w): return 0.5 * (w * w).sum()
        def half_grad(w): return w * (1 + {ulps} * np.resize([1, -1], w.shape) * np.finfo(float).eps)
        cases = gst.arguments(gst.logits(classes=2, regimes=["ordinary"]))
    """
    write("old.py", source.format(ulps=1))
    write("new.py", source.format(ulps=3))
    assert _compare("old.py:half", "new.py:half") == 1
    text = capsys.readouterr().out
    assert re.search(
        r"^closer to being wrong, any input: was 0\.\d+ of what is allowed, is 0\.\d+$", text, re.MULTILINE
    )
    assert ".gradcheck" not in text
    assert _compare("old.py:half", "new.py:half", "--factor", "7.9") == 1
    text = capsys.readouterr().out
    assert text.endswith("\n\ncloser to being wrong, grade: was entry-wise, is norm-wise\n"), "no factor is for that"


def test_what_was_wrong_before_is_mended_and_not_closer_to_being_wrong(write: Write, capsys: Captured) -> None:
    # wrong by half where w > 0, right to the bit elsewhere; the new one is right everywhere, and lossy where w > 0
    source = """
        import numpy as np
        from gradcheck import strategies as gst

        def half(w): return 0.5 * (w * w).sum()
        def half_grad(w): return np.where(w > 0, {where_positive}, w)
        cases = gst.arguments(gst.logits(classes=1, rows=1, regimes=["ordinary"]))
    """
    write("old.py", source.format(where_positive="1.5 * w"))
    write("new.py", source.format(where_positive="w * (1 + 3 * np.finfo(float).eps)"))
    assert _compare("old.py:half", "new.py:half") == 0
    text = capsys.readouterr().out
    assert "mended at " in text
    assert "closer to being wrong" not in text


def test_undecided(write: Write, capsys: Captured) -> None:
    endless = "import numpy as np\ndef f(z, y): return np.float64(np.inf)\ndef f_grad(z, y): return np.zeros_like(z)"
    write("endless.py", endless)
    assert _compare("endless.py:f", "endless.py:f") == 3
    assert "UNDECIDED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mine.py", "mine.py:nll"), "mine.py holds 2 gradients (nll, g); name one"),
        (("mine.py:absent", "mine.py:nll"), "mine has no 'absent'"),
        (("mine.py:nll", "mine.py:nll", "--factor", "1"), "--factor 1 is no factor to worsen by"),
        (("mine.py:nll", "mine.py:nll", "--factor", "nan"), "--factor nan is no factor to worsen by"),
        (("mine.py:nll", "mine.py:g"), "mine.g_vjp takes a cotangent and mine.nll_grad does not"),
    ],
)
def test_2_what_cannot_be_compared(write: Write, capsys: Captured, arguments: tuple[str, ...], message: str) -> None:
    taking = "\n    def g(z, y): return z * z\n    def grad_g(z, y, cotangent): return 2 * z * cotangent\n"
    write("mine.py", textwrap.dedent(RIGHT + taking + CASES))
    assert _compare(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradcheck: ")
    assert message.replace("g_vjp", "grad_g") in error


@pytest.mark.parametrize("examples", ["0", "-3", "many", "1.5"])
def test_2_a_number_of_points_that_is_none(capsys: Captured, examples: str) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["compare", "mine.py:nll", "mine.py:nll", f"--examples={examples}"])
    assert exited.value.code == 2
    assert f"argument --examples: {examples!r} is not a positive whole number" in capsys.readouterr().err


def test_points_are_those_of_the_seed(write: Write) -> None:
    write("mine.py", RIGHT + CASES)
    from gradcheck import strategies as gst

    rule = resolve_rule("mine.py:nll")
    cases = gst.softmax_nll()
    first, again, other = (compare(rule, rule, cases, examples=10, seed=seed) for seed in (1, 1, 2))
    assert first.new.tally == again.new.tally == first.old.tally
    assert first.new.tally.regimes != other.new.tally.regimes
    with pytest.raises(InvalidArgument, match="cases must be a strategy"):
        compare(rule, rule, 3)  # type: ignore[arg-type]
