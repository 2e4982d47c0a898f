"""``gradcheck train``: what it says, what it refuses, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck.cli import main
from gradcheck.mnist import load_model
from gradcheck.mnist.loop import Training

QUICK = ("--data", "sample", "--hidden", "none", "--epochs", "1", "--limit", "300")

WRONG = """
import numpy as np

def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def summed(z, y):  # the mean's 1/N is missing
    a = softmax(z)
    a[np.arange(len(y)), y] -= 1
    return a

def right(z, y):
    return summed(z, y) / len(y)

def for_one_hot(z, y):
    return (softmax(z) - y) / len(y)

def backwards(z, y):  # uphill, and far
    return -1e30 * right(z, y)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADCHECK_DATA", raising=False)
    (tmp_path / "mine_to_train.py").write_text(WRONG)
    return tmp_path


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def test_it_verifies_then_trains_and_records(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK]) == 0
    out = capsys.readouterr().out
    assert out.index("verifying") < out.index("epoch 0/1") < out.index("held-out digits are right")
    assert out.count("PASS") == 2
    run = only_run(folder)
    assert json.loads((run / "run.json").read_text())["outcome"] == "finished"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert load_model(run / "model.npz").params["W1"].shape == (10, 784)


def test_a_wrong_gradient_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, "--gradient", "mine_to_train.py:summed"]) == 1
    out = capsys.readouterr().out
    assert "FAIL" in out
    assert "--unverified" in out
    assert not (folder / "runs").exists()


def test_a_wrong_gradient_trains_when_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, "--gradient", "mine_to_train.py:summed", "--unverified"]) == 0
    assert "all the same" in capsys.readouterr().out
    assert only_run(folder)


@pytest.mark.parametrize("target", [("mine_to_train.py:right",), ("mine_to_train.py:for_one_hot", "--one-hot")])
def test_a_right_gradient_of_ones_own_trains_the_same_model(target: tuple[str, ...], folder: Path) -> None:
    assert main(["train", *QUICK, "--gradient", *target, "--runs", "mine"]) == 0
    assert main(["train", *QUICK, "--runs", "built-in"]) == 0
    mine, built_in = (load_model(next((folder / name).iterdir()) / "model.npz") for name in ("mine", "built-in"))
    np.testing.assert_allclose(mine.params["W1"], built_in.params["W1"], rtol=0, atol=1e-3)


def test_the_same_seed_leaves_the_same_bytes(folder: Path) -> None:
    for name in ("one", "two"):
        assert main(["train", *QUICK, "--seed", "7", "--runs", name]) == 0
    one, two = (next((folder / name).iterdir()) for name in ("one", "two"))
    for file in ("metrics.jsonl", "model.npz"):
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_digits_make_as_many_neurons(folder: Path) -> None:
    assert main(["train", *QUICK, "--digits", "1-9"]) == 0
    model = load_model(only_run(folder) / "model.npz")
    assert model.params["b1"].shape == (9,)
    assert model.classes == tuple("123456789")


def test_ctrl_c_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Training._advance

    def interrupted(self: Training, *rest: Any) -> float:
        if self.state.step == 2:
            raise KeyboardInterrupt
        return advance(self, *rest)

    monkeypatch.setattr(Training, "_advance", interrupted)
    assert main(["train", *QUICK]) == 130
    facts = json.loads((only_run(folder) / "run.json").read_text())
    assert (facts["outcome"], facts["steps"]) == ("interrupted", 2)
    assert load_model(only_run(folder) / "model.npz")


def test_divergence_is_an_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", *QUICK, "--gradient", "mine_to_train.py:backwards", "--unverified"]
    assert main([*arguments, "--optimiser", "sgd", "--learning-rate", "1e30"]) == 1
    assert "try a tenth" in capsys.readouterr().err
    assert json.loads((only_run(folder) / "run.json").read_text())["outcome"] == "diverged"


def test_missing_data_says_which_command_gets_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "nowhere"]) == 4
    assert "gradcheck train --data mnist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hidden", "many"), "'many' is no number; write it like 512"),
        (("--digits", "1-x"), "'x' is no number; write it like 1-9"),
        (("--batch-size", "0"), "batch_size=0"),
        (("--learning-rate", "-1"), "learning_rate=-1.0"),
        (("--digits", "1-12"), "12"),
        (("--one-hot",), "--gradient"),
        (("--gradient", "nothing.py:f"), "nothing.py"),
        (("--gradient", "mine_to_train.py:missing"), "missing"),
    ],
)
def test_a_wrong_command(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["train", *QUICK, *arguments])
    except SystemExit as stop:  # argparse's own refusals
        code = int(str(stop.code))
    assert code == 2
    assert message in capsys.readouterr().err
