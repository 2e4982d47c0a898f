"""Every file in examples/ runs, and says what the pages say that it says."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gradcheck import mnist

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = ("--epochs", "1", "--limit", "64", "--examples", "3")

# The phase that explains a failure runs it a hundred times more, for text that is not read here.
WITHOUT_EXPLANATION = """
from hypothesis import Phase, settings
settings.register_profile("brief", phases=[phase for phase in Phase if phase is not Phase.explain])
settings.load_profile("brief")
"""

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Train = Callable[[str, float, str], Any]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, module)  # where dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def which() -> ModuleType:
    return load("which_neurons")


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"numpy_pair.py", "test_my_gradient.py", "which_neurons.py"}


def test_numpy_pair_shows_the_wrong_gradient_and_passes_the_right_one(python: Python, tmp_path: Path) -> None:
    ran = python(str(EXAMPLES / "numpy_pair.py"), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("FAIL wrong_grad: ")
    assert ran.stdout.rpartition("\n\n")[2].startswith("PASS entry-wise")


def test_test_my_gradient_passes(python: Python, tmp_path: Path) -> None:
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_my_gradient.py"), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout


def test_test_my_gradient_fails_once_the_gradient_is_wrong(python: Python, tmp_path: Path) -> None:
    right = (EXAMPLES / "test_my_gradient.py").read_text(encoding="utf-8")
    wrong = right.replace("    return a / len(y)\n", "    return a\n")
    assert wrong != right
    (tmp_path / "test_wrong.py").write_text(wrong, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(WITHOUT_EXPLANATION, encoding="utf-8")
    ran = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "one_gradient", "test_wrong.py", cwd=tmp_path)
    assert ran.returncode == 1, ran.stdout
    assert "FAIL test_wrong.grad_in_one_step: " in ran.stdout


def test_which_neurons_tells_its_story(python: Python, tmp_path: Path) -> None:
    ran = python(str(EXAMPLES / "which_neurons.py"), *TINY, "--out", "figures", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.startswith((tmp_path / "figures" / "which-neurons.txt").read_text(encoding="utf-8"))
    verdicts = [(part.count("PASS"), part.count("FAIL")) for part in re.split(r"\n\d\. ", ran.stdout)]
    assert verdicts == [(0, 0), (4, 1), (3, 0), (1, 3), (0, 0), (0, 0)]


def test_which_neurons_does_without_matplotlib(
    which: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(which, "story", lambda *_: iter(["the tables"]))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert which.main(["--out", str(tmp_path)]) == 0
    assert "the tables\n" in (said := capsys.readouterr().out)
    assert "pip install 'gradcheck[report]'" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--data", "nowhere"], "nowhere: is no folder"), (["--out", __file__], "exists")],
)
def test_which_neurons_says_what_it_cannot_do(
    which: ModuleType,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(which, "story", lambda *_: iter(["the tables"]))
    assert which.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--limit", "-1"], ["--examples", "many"]])
def test_which_neurons_refuses_numbers_that_mean_nothing(
    which: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        which.parse(arguments)
    assert "is not a positive whole number" in capsys.readouterr().err


def test_figures_are_drawn_of_numbers_of_any_size(which: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need the extra 'report'")
    sizes = dict(zip(which.GRADIENTS, (1.0, 1e40, 1e201, 1e307), strict=True))
    runs = [
        which.Run(
            network, classes, which.SHOWN, name, (which.Epoch(1.0, 0.1, 0.0, 1.0), which.Epoch(s, 0.1, s, s)), None
        )
        for network, classes, (name, s) in product(which.NETWORKS, which.CLASSES, sizes.items())
    ]
    _, b, _, y = which.example()
    which.draw(runs, b[None], y, tmp_path)
    for figure in ("entries", "training"):
        assert (tmp_path / f"which-neurons-{figure}.svg").read_text(encoding="utf-8").endswith("</svg>\n")


@pytest.fixture(scope="module")
def run(which: ModuleType) -> Train:
    """Train for one epoch on 2,000 digits of the sample."""
    digits = mnist.load("train", "sample"), mnist.load("test", "sample")
    options = argparse.Namespace(epochs=1, limit=2000, seed=0)
    return lambda network, rate, gradient: which.train(network, 10, rate, gradient, digits, options)


# What docs/explanation/which-neurons.md says of each gradient, after one epoch.


def test_right_gradient_learns_in_every_network(which: ModuleType, run: Train) -> None:
    for network in which.NETWORKS:
        before, after = run(network, 0.1, "a - y, every neuron").epochs
        assert after.accuracy > before.accuracy + 0.2


def test_active_entry_learns_without_a_hidden_layer_and_its_gradient_shrinks(run: Train) -> None:
    before, after = run("no hidden layer", 0.01, "a - y, active entry").epochs
    assert after.accuracy > 0.7
    assert after.gradient < before.gradient
    assert after.weights > 2 * run("no hidden layer", 0.01, "a - y, every neuron").epochs[-1].weights


def test_active_entry_explodes_above_rectifiers(run: Train) -> None:
    before, after = run("32 rectifiers", 0.1, "a - y, active entry").epochs
    assert after.weights > 1e6 * before.weights
    assert after.gradient > 1e6 * before.gradient
    assert after.accuracy <= 0.2


def test_active_entry_stays_at_chance_above_sigmoids_with_a_bounded_gradient(run: Train) -> None:
    before, after = run("32 sigmoids", 0.1, "a - y, active entry").epochs
    assert after.weights > before.weights
    assert after.gradient < 4 * before.gradient
    assert after.accuracy <= 0.2


def test_no_jacobian_is_not_finite_within_ten_steps(which: ModuleType, run: Train) -> None:
    for network in which.NETWORKS:
        diverged = run(network, 0.1, "-1/a, no Jacobian").diverged
        assert diverged is not None
        assert diverged.step <= 10


def test_dropped_minus_unlearns(which: ModuleType, run: Train) -> None:
    for network in which.NETWORKS:
        last = run(network, 0.1, "y - a, minus dropped").epochs[-1]
        assert last.accuracy < 0.12
        assert last.loss > 10
