from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import gradcheck
from gradcheck.cli import main

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Write = Callable[[str, str], Path]
Captured = pytest.CaptureFixture[str]

COMMANDS = ("verify", "train", "replay", "compare", "power")

# Softmax and negative log-likelihood; the gradient is right where {skip} is 0 and forgets the other classes where 1.
NLL = """
    import numpy as np
    from gradcheck import strategies as gst

    def log_softmax(z):
        z = z - np.max(z, axis=1, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))

    def nll(z, y):
        return -np.sum(log_softmax(z)[np.arange(len(y)), y])

    def nll_grad(z, y):
        labels = np.arange(z.shape[1]) == y[:, None]
        return (np.exp(log_softmax(z)) - labels) * (labels | ({skip} == 0))

    cases = gst.softmax_nll(classes=3, rows=2, regimes=["ordinary"])
"""
RIGHT, WRONG = NLL.format(skip=0), NLL.format(skip=1)

# A loss that is not finite anywhere has no derivative to compare with.
ENDLESS = """
    import numpy as np
    def endless(z, y): return np.float64(np.inf)
    def endless_grad(z, y): return np.zeros_like(z)
"""


def _verify(*arguments: str) -> int:
    return main(["verify", *arguments, "--examples", "8"])


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_teaches(command: tuple[str, ...], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for code in ("0", "1", "2", "3", "4", "130"):
        assert re.search(rf"^ +{code}  \w", text, re.MULTILINE), f"exit code {code} is not explained"
    for name in COMMANDS if not command else ():
        assert re.search(rf"^ +{name} +\w", text, re.MULTILINE)
    if command:
        assert f"examples:\n  gradcheck {command[0]}" in text
    assert max(map(len, text.splitlines())) <= 116, "no wider than the code"


def test_version(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"gradcheck {gradcheck.__version__}\n"


def test_0_a_right_gradient(write: Write, capsys: Captured) -> None:
    path = write("mine.py", RIGHT)
    assert _verify(str(path)) == 0
    line, *notes, total = capsys.readouterr().out.splitlines()
    assert all(note.startswith("  ") for note in notes)  # eight examples do not visit every regime
    assert re.fullmatch(r"mine\.nll_grad +PASS entry-wise, worst .* ulp, .*, 8 examples, .*  \(\d+\.\d s\)", line)
    assert total == "1 verified: 1 passed, 0 failed, 0 undecided"


@pytest.mark.parametrize("name", ["", ":nll", ":nll_grad"])
def test_1_a_wrong_gradient(write: Write, capsys: Captured, name: str) -> None:
    path = write("mine.py", WRONG)
    assert _verify(f"{path}{name}") == 1
    text = capsys.readouterr().out
    assert re.search(r"^FAIL mine\.nll_grad: only the label.s entry of each row is right", text, re.MULTILINE)
    assert re.search(r"^  reproduce   gradcheck replay \.gradcheck/failures/\w+\.npz$", text, re.MULTILINE)
    assert text.endswith("\n1 verified: 0 passed, 1 failed, 0 undecided\n")


def test_3_nothing_could_judge(write: Write, capsys: Captured) -> None:
    path = write("mine.py", ENDLESS)
    assert _verify(str(path)) == 3
    text = capsys.readouterr().out
    assert "UNDECIDED mine.endless_grad: " in text
    assert "the forward is not finite at this point" in text
    assert text.endswith("\n1 verified: 0 passed, 0 failed, 1 undecided\n")


def test_the_worst_of_several_decides(write: Write, capsys: Captured) -> None:
    right = textwrap.dedent(RIGHT)
    wrong = textwrap.dedent(WRONG).partition("def nll(")[2].partition("cases =")[0].replace("nll_grad", "bad_grad")
    path = write("mine.py", f"{right}\ndef bad({wrong}" + textwrap.dedent(ENDLESS))
    assert _verify(str(path)) == 1
    assert capsys.readouterr().out.endswith("\n3 verified: 1 passed, 1 failed, 1 undecided\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["verify", "--examples", "0"], "'0' is not a positive whole number"),
        (["verify", "--examples", "many"], "'many' is not a positive whole number"),
        (["verify", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["verify", "a.py", "b.py"], "unrecognized arguments: b.py"),
        (["replay"], "FILE"),
    ],
)
def test_2_a_command_that_cannot_be_read(arguments: list[str], message: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(): ...", "gradcheck: mine.py: no pair found."),
        (RIGHT + "    cases = 3", "gradcheck: cases must be a strategy that draws tuples of arguments"),
        (
            "def f(z, y): return z.absent\ndef f_grad(z, y): return z",
            "gradcheck: mine.f_grad: the forward raised AttributeError",
        ),
    ],
)
def test_2_a_target_that_cannot_be_checked(write: Write, capsys: Captured, source: str, message: str) -> None:
    write("mine.py", source)
    assert _verify("mine.py") == 2
    assert capsys.readouterr().err.startswith(message)


def test_2_whatever_else_is_raised(write: Write, capsys: Captured) -> None:
    raising = "    from hypothesis import strategies as st\n    cases = st.integers().map(lambda i: 1 // 0)\n"
    path = write("mine.py", RIGHT + raising)
    assert _verify(str(path)) == 2, "Python's own exit code says that a gradient is wrong"
    error = capsys.readouterr().err
    assert error.startswith("Traceback")
    assert "ZeroDivisionError" in error


def test_4_data_that_is_missing(capsys: Captured) -> None:
    assert main(["replay", "absent.npz"]) == 4
    assert capsys.readouterr().err.startswith("gradcheck: absent.npz: no such file")


def test_130_an_interrupt(write: Write, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = write("mine.py", RIGHT)
    monkeypatch.setattr("gradcheck.verification.verify", interrupted)
    assert _verify(str(path)) == 130
    out, err = capsys.readouterr()
    assert out.endswith("\n")
    assert err.endswith("interrupted\n")


def test_list_shows_and_checks_nothing(write: Write, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck.verification.verify", None)
    path = write("mine.py", WRONG)
    assert _verify(str(path), "--list") == 0
    assert re.fullmatch(r"mine\.nll_grad +nll with nll_grad, a loss and its gradient\n", capsys.readouterr().out)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_built_in_derivations_are_listed(capsys: Captured, dtype: str) -> None:
    assert main(["verify", "--list", "--dtype", dtype]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"softmax-nll/fused/mean {dtype} ") for line in lines)
    assert all(f" {dtype} " in line for line in lines)


def _kept(write: Write, capsys: Captured) -> str:
    write("mine.py", WRONG)
    assert _verify("mine.py") == 1
    (path,) = Path(".gradcheck/failures").iterdir()
    assert str(path) in capsys.readouterr().out
    return str(path)


def test_replay_before_and_after_the_fix(write: Write, capsys: Captured) -> None:
    kept = _kept(write, capsys)
    assert main(["replay", kept]) == 1
    assert capsys.readouterr().out.startswith("FAIL mine.nll_grad: only the label")
    assert [str(path) for path in Path(".gradcheck/failures").iterdir()] == [kept], "the same failure, the same file"

    del sys.modules["mine"]  # as in a new process
    write("mine.py", RIGHT)
    assert main(["replay", kept]) == 0
    assert re.fullmatch(r"mine\.nll_grad: PASS .*\n", capsys.readouterr().out)


def test_replay_against_a_gradient_that_has_moved(write: Write, capsys: Captured) -> None:
    kept = _kept(write, capsys)
    # three arguments, of which the failure holds two: what is replayed needs no cases
    moved = write("moved.py", textwrap.dedent(RIGHT).partition("cases =")[0].replace("(z, y):", "(z, y, scale=1):"))
    assert main(["replay", kept, "--target", f"{moved}:nll"]) == 0
    assert re.fullmatch(r"moved\.nll_grad: PASS .*\n", capsys.readouterr().out)
    assert main(["replay", kept, "--target", "mine.py:nll_grad"]) == 1
    assert main(["replay", kept, "--target", "absent.py:nll"]) == 2


def test_replay_of_what_nothing_could_judge(write: Write) -> None:
    path = write("mine.py", ENDLESS)
    assert _verify(str(path)) == 3
    (kept,) = Path(".gradcheck/failures").iterdir()
    assert main(["replay", str(kept)]) == 3


def test_the_module_is_the_command(python: Python, write: Write) -> None:
    write("mine.py", RIGHT)
    listed = python("-m", "gradcheck", "verify", "mine.py", "--list", cwd=Path.cwd())
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("mine.nll_grad ")
    missing = python("-m", "gradcheck", "replay", "absent.npz", cwd=Path.cwd())
    assert (missing.returncode, missing.stdout) == (4, "")
