from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gradcheck

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEERS = ("torch-slow", "torch-fast", "jax", "autograd", "scipy")

Python = Callable[..., "subprocess.CompletedProcess[str]"]
Pair = tuple[Callable[..., Any], Callable[..., Any]]

X = np.array([[0.3, -1.2, 2.0], [1.1, 0.4, -0.7]])
Y = np.array([2, 0])


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield


@pytest.fixture
def peers() -> ModuleType:
    return importlib.import_module("peers")


@pytest.fixture
def table() -> ModuleType:
    return importlib.import_module("_power_table")


@pytest.fixture
def corpus() -> ModuleType:
    return importlib.import_module("_corpus")


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, peers: ModuleType) -> Any:
    peer = peers.PEERS[request.param]
    if not peer.installed:
        pytest.skip(f"{peer.package} is not installed: pip install 'gradcheck[bench]'")
    return peer


def softmax(z: Any) -> Any:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def nll(z: Any, y: Any) -> Any:
    return -np.log(softmax(z)[np.arange(len(y)), y]).mean()


def nll_grad(z: Any, y: Any) -> Any:
    return (softmax(z) - np.eye(z.shape[1])[y]) / len(y)


def tanh_vjp(x: Any, cotangent: Any) -> Any:
    return cotangent * (1 - np.tanh(x) ** 2)


def tanh_with_pullback(x: Any) -> Any:
    return np.tanh(x), lambda cotangent: tanh_vjp(x, cotangent)


def scaled(x: Any, scale: Any) -> Any:
    return x * scale


def scaled_vjp(x: Any, scale: Any, cotangent: Any) -> Any:
    return cotangent * scale, (cotangent * x).sum(axis=0)


SCALE = np.array([0.5, -2.0, 1.5])
RIGHT = {
    "loss": ((nll, nll_grad), "loss", (X, Y), (0,)),
    "vjp": ((np.tanh, tanh_vjp), "vjp", (X,), (0,)),
    "pullback": ((np.tanh, tanh_with_pullback), "pullback", (X,), (0,)),
    "two arguments": ((scaled, scaled_vjp), "vjp", (X, SCALE), (0, 1)),
}
WRONG = {
    "loss, mean forgotten": ((nll, lambda z, y: nll_grad(z, y) * len(y)), "loss", (X, Y), (0,)),
    "vjp, sign": ((np.tanh, lambda x, cotangent: -tanh_vjp(x, cotangent)), "vjp", (X,), (0,)),
    "pullback, of another function": (
        (np.tanh, lambda x: (np.tanh(x), lambda c: c * np.cos(x))),
        "pullback",
        (X,),
        (0,),
    ),
    "second argument": ((scaled, lambda x, s, c: (c * s, (c * x).mean(axis=0))), "vjp", (X, SCALE), (0, 1)),
    # summed over the wrong axis: one left out altogether would be made up for by torch
    "shape": ((scaled, lambda x, s, c: (c * s, (c * x).sum(axis=1))), "vjp", (X, SCALE), (0, 1)),
}


def question(peers: ModuleType, pair: Pair, form: str, args: tuple[Any, ...], argnums: tuple[int, ...]) -> Any:
    cotangent = np.float64(1.0) if form == "loss" else np.array([[0.5, -1.5, 2.0], [1.0, -0.5, 2.5]])
    return peers.Question(lambda: pair, form, args, argnums, cotangent)


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_peer_passes_a_right_gradient(peers: ModuleType, peer: Any, case: Any) -> None:
    assert peers.ask(peer, question(peers, *case)) == peers.Answer(peers.PASSED)


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_peer_catches_a_plainly_wrong_gradient(peers: ModuleType, peer: Any, case: Any) -> None:
    answer = peers.ask(peer, question(peers, *case))
    assert answer.word == peers.CAUGHT
    assert answer.why


def test_peer_catches_a_backward_that_raises(peers: ModuleType, peer: Any) -> None:
    def backward(_x: Any, _cotangent: Any) -> Any:
        raise KeyError("weights")

    answer = peers.ask(peer, question(peers, (np.tanh, backward), "vjp", (X,), (0,)))
    assert answer.word == peers.CAUGHT
    assert "the backward raised KeyError" in answer.why


def test_what_breaks_before_the_backward_is_not_expressible(peers: ModuleType, peer: Any) -> None:
    def fun(_x: Any) -> Any:
        raise KeyError("weights")

    answer = peers.ask(peer, question(peers, (fun, tanh_vjp), "vjp", (X,), (0,)))
    assert answer.word == peers.NOT_EXPRESSIBLE
    assert "KeyError" in answer.why


def test_asking_changes_neither_arguments_nor_the_global_generator(peers: ModuleType, peer: Any) -> None:
    def backward(x: Any, cotangent: Any) -> Any:
        gradient = tanh_vjp(x, cotangent)
        x[...] = 7.0
        return gradient

    x = X.copy()
    np.random.seed(3)  # noqa: NPY002  # the global generator is what must be left alone
    expected = np.random.random()  # noqa: NPY002  # as above
    np.random.seed(3)  # noqa: NPY002  # as above
    peers.ask(peer, question(peers, (np.tanh, backward), "vjp", (x,), (0,)))
    assert np.array_equal(x, X)
    assert np.random.random() == expected  # noqa: NPY002  # as above


def test_torch_hands_the_strides_of_its_cotangent_on(peers: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    seen = []

    def backward(x: Any, cotangent: Any) -> Any:
        seen.append(cotangent.strides)
        return np.full_like(x, cotangent.flat[0])

    rule = peers.Handwritten(question(peers, (lambda x: np.repeat(x.sum(), 6), backward), "vjp", (X,), (0,)))
    wrapped = importlib.import_module("peers.torch_gradcheck").wrapped(rule)
    wrapped.apply(torch.tensor(X, requires_grad=True)).sum().backward()
    assert seen == [(0,)]


def specimen(corpus: ModuleType, name: str) -> Any:
    return next(one for one in corpus.specimens() if one.name == name)


@pytest.mark.parametrize("name", ["textbook", "log-softmax-by-einsum"])
def test_points_are_those_that_verify_looks_at(corpus: ModuleType, name: str) -> None:
    chosen = specimen(corpus, name)
    fun, backward = chosen.functions()
    seen = []

    def recorded(*args: Any) -> Any:
        seen.append(args)
        return backward(*args)

    make = gradcheck.from_loss if chosen.forward.form == "loss" else gradcheck.from_vjp
    gradcheck.verify(make(fun, recorded), chosen.cases(), examples=20, seed=1, settings=corpus.ONLY_SEARCH)
    points = corpus.drawn(chosen, 1, 20)
    assert len(points) == 20
    for point in points:
        asked = point.args if chosen.forward.form == "loss" else (*point.args, point.cotangent)
        assert any(_same(asked, args) for args in seen)


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_ordinary_points_are_repeatable_and_on_the_domain(corpus: ModuleType) -> None:
    chosen = specimen(corpus, "mean-missing")
    (first, inputs), (again, _) = corpus.ordinary(chosen, 0), corpus.ordinary(chosen, 0)
    assert inputs == corpus.STANDARD_NORMAL
    assert _same(first.args, again.args)
    assert not np.array_equal(first.args[0], chosen.forward.witness[0])
    probabilities, inputs = corpus.ordinary(specimen(corpus, "minus-of-the-log-dropped"), 0)
    assert inputs == corpus.ABOUT_THE_WITNESS
    assert np.all(probabilities.args[0] > 0)


@pytest.mark.parametrize("name", ["mean-missing", "cotangent-ignored", "bias-averaged"])
def test_control_is_the_right_gradient(corpus: ModuleType, peers: ModuleType, name: str) -> None:
    chosen = specimen(corpus, name)
    point, _ = corpus.ordinary(chosen, 0)
    assert peers.ask(peers.PEERS["jax"], point).word == peers.CAUGHT
    assert peers.ask(peers.PEERS["jax"], corpus.righted(chosen, point)).word == peers.PASSED


class Script:
    """A peer that objects at given points, and to the right gradient at others; points and controls are numbers."""

    def __init__(self, peers: ModuleType, objects: set[int], alarms: set[int]) -> None:
        self.peers, self.objects, self.alarms = peers, objects, alarms

    def ask(self, _peer: Any, point: int) -> Any:
        objects = point in self.objects if point >= 0 else -point in self.alarms
        return self.peers.Answer(self.peers.CAUGHT if objects else self.peers.PASSED, "why")

    def at(self, point: int) -> int:
        return -point


@pytest.mark.parametrize(
    ("objects", "alarms", "word", "why"),
    [
        (set(), set(), "passed", "why"),
        ({2}, set(), "caught", "at point 2 of 3: why"),
        ({1, 3}, {1}, "caught", "at point 3 of 3: why"),
        ({1, 3}, {1, 3}, "caught by a false alarm", "at point 1 of 3: why"),
    ],
)
def test_catch_is_told_from_a_false_alarm(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, objects: set[int], alarms: set[int], word: str, why: str
) -> None:
    power = importlib.import_module("detection_power")
    script = Script(peers, objects, alarms)
    monkeypatch.setattr(power, "ask", script.ask)
    answer, _ = power._until_caught(None, [1, 2, 3], script)
    assert answer == peers.Answer(word, why)


def test_no_point_is_no_pass(peers: ModuleType) -> None:
    answer, taken = importlib.import_module("detection_power")._until_caught(None, [], None)
    assert (answer.word, taken) == (peers.NOT_EXPRESSIBLE, 0.0)


def measured(table: ModuleType, peers: ModuleType, family: str, ours: str, ordinary: str, drawn: str) -> Any:
    peered = table.Peered(peers.Answer(ordinary), peers.Answer(drawn), 0.0)
    return table.Measured("one", family, "corner", "none", (peers.Answer(ours),), {"other": peered}, 0.0)


def test_table_counts_and_says_where_a_peer_wins(table: ModuleType, peers: ModuleType) -> None:
    rows = [
        measured(table, peers, "algebra", "caught", "passed", table.FALSE_ALARM),
        measured(table, peers, "algebra", "passed", "caught", "caught"),
        measured(table, peers, "right", "passed", "passed", "caught"),
    ]
    by_shows, by_family = table.tables(rows, ["other"])
    lines = {row[0].strip("*"): row[1:] for row in by_shows}
    assert lines["all wrong gradients caught"] == ["2", "1", "1 / 2"]
    assert lines["as a share of gradcheck's"] == ["", "100%", "100% / 200%"]
    assert lines["of these, where it accuses the right gradient too"] == ["", "", "0 / 1"]
    assert lines["right gradients accused"] == ["1", "0", "0 / 1"]
    assert by_family[1:] == [["algebra", "2", "1", "1 / 2"]]
    assert "Caught by other, not by gradcheck at every seed: algebra/one." in table.text(rows, ["other"])
    assert "| corner | 2 | 1 | 1 / 2 |" in table.markdown(rows, ["other"])


@pytest.mark.parametrize(
    ("family", "ours", "is_failure"),
    [
        ("algebra", "caught", False),
        ("algebra", "passed", True),
        ("algebra", "undecided", True),
        ("algebra", "broken", True),
        ("right", "passed", False),
        ("right", "undecided", False),
        ("right", "caught", True),
        ("right", "broken", True),
    ],
)
def test_bounds(table: ModuleType, peers: ModuleType, family: str, ours: str, is_failure: bool) -> None:
    failures = table.failures([measured(table, peers, family, ours, "passed", "passed")])
    assert failures == ([f"{family}/one at seed 0: {ours}"] if is_failure else [])


def run(python: Python, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return python(str(BENCHMARKS / "detection_power.py"), *arguments, cwd=cwd)


def test_one_family_from_end_to_end(python: Python, tmp_path: Path) -> None:
    options = ("--only", "scale", "--peers", "jax", "--seeds", "1", "--examples", "20", "--jobs", "1", "--markdown")
    ran = run(python, *options, "--json", "out.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "| scale |" in ran.stdout
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert {row["family"] for row in content["gradients"]} == {"scale"}
    assert {answer["word"] for row in content["gradients"] for answer in row["ours"]} == {"caught"}
    assert not (tmp_path / ".gradcheck").exists()


def test_interrupted_run_prints_what_was_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "detection_power.py"), "--only", "jacobian", "--peers", "jax"]
    with subprocess.Popen(
        [*command, "--jobs", "1"],
        cwd=tmp_path,
        start_new_session=True,  # so that the signal reaches the run and its workers, as from a terminal, and no other
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("1/")
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "gradients were measured" in err
    assert "all wrong gradients caught" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--only", "scales"), "there is no family 'scales'; there are "),
        (("--peers", "jax,toch"), "there is no peer 'toch'; there are torch-slow"),
        (("--seeds", "0"), "--seeds must be at least 1"),
    ],
)
def test_bad_options_are_named(python: Python, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    ran = run(python, *options, cwd=tmp_path)
    assert ran.returncode == 2
    assert words in ran.stderr
