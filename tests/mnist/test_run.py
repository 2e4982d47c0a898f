from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import InvalidArgument, TrainingDiverged
from gradcheck.mnist.config import Config
from gradcheck.mnist.data import SAMPLE, Digits
from gradcheck.mnist.loop import Metrics, Training
from gradcheck.mnist.model import load_model
from gradcheck.mnist.progress import Silence
from gradcheck.mnist.run import new_folder, record

Split = tuple[Digits, Digits]

SMALL = Config(hidden=(8,), batch_size=32, epochs=2, digits=(0, 1, 2))


def facts(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return read


class Interrupt(Silence):
    def __init__(self, at: int) -> None:
        self._at = at

    def step(self, step: int, loss: float) -> None:  # noqa: ARG002  the signature of a reporter
        if step == self._at:
            raise KeyboardInterrupt


def test_folders_are_named_by_the_time_and_never_shared(tmp_path: Path) -> None:
    folders = {new_folder(tmp_path / "runs") for _ in range(3)}
    assert len(folders) == 3
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", folder.name) for folder in folders)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match=r"root=.*file'.*no folder can be made"):
        new_folder(tmp_path / "file")


def test_a_run_leaves_its_metrics_its_model_and_what_made_them(
    digits: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    folder = new_folder(tmp_path)
    result = record(Training(SMALL, *digits), folder, arguments=["train", "--seed", "0"])
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "model.npz", "run.json"]

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["test_accuracy"] for line in lines] == [metrics.test_accuracy for metrics in result.history]
    assert "seconds" not in lines[0]

    model = load_model(folder / "model.npz")
    np.testing.assert_array_equal(model.logits(digits[1].images), result.model.logits(digits[1].images))
    assert model.classes == ("0", "1", "2")

    run = facts(folder)
    assert run["outcome"] == "finished"
    assert run["arguments"] == ["train", "--seed", "0"]
    assert run["seed"] == 0
    assert run["seconds"] == [metrics.seconds for metrics in result.history]
    config, data, versions = run["config"], run["data"], run["versions"]
    assert set(config) == set(vars(SMALL))
    assert config["optimiser"] == "Adam(beta1=0.9, beta2=0.999, epsilon=1e-08)"
    assert config["learning_rate"] == SMALL.rate
    assert data["train"]["sha256"]["images"] == SAMPLE["train-images-idx3-ubyte"]
    assert data["test"]["sha256"]["labels"] == SAMPLE["t10k-labels-idx1-ubyte"]
    assert data["train"]["count"] == int((digits[0].labels < 3).sum())
    assert run["threads"]["OMP_NUM_THREADS"] == "3"
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["gradcheck"] == gradcheck.__version__
    assert ("jax" in versions) == ("jax" in sys.modules)


def test_metrics_are_in_the_file_as_soon_as_they_are_told(digits: Split, tmp_path: Path) -> None:
    class Reader(Silence):
        def epoch(self, metrics: Metrics) -> None:
            last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
            assert json.loads(last)["epoch"] == metrics.epoch
            assert facts(tmp_path)["outcome"] == "running"

    record(Training(SMALL, *digits), tmp_path, reporter=Reader())


def test_one_seed_leaves_the_same_bytes_in_two_processes(tmp_path: Path) -> None:
    script = (
        "import sys; from gradcheck import mnist\n"
        "digits = mnist.load('train', 'sample'), mnist.load('test', 'sample')\n"
        "config = mnist.Config(hidden=(32,), epochs=1, limit=1000, seed=int(sys.argv[2]))\n"
        "mnist.record(mnist.Training(config, *digits), sys.argv[1])\n"
    )
    files = []
    for name, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", script, tmp_path / name, seed], check=True)
        files.append([(tmp_path / name / file).read_bytes() for file in ("metrics.jsonl", "model.npz")])
    assert files[0] == files[1]
    assert files[0][0] != files[2][0]
    assert files[0][1] != files[2][1]


def test_ctrl_c_loses_nothing_of_what_was_done(digits: Split, tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    training = Training(SMALL, *digits)
    at = training.steps_per_epoch + 1  # the first step of epoch 2
    with pytest.raises(KeyboardInterrupt):
        record(training, folder, reporter=Interrupt(at))
    run = facts(folder)
    assert (run["outcome"], run["steps"]) == ("interrupted", at)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    saved = load_model(folder / "model.npz").params
    for name, w in training.state.params.items():
        np.testing.assert_array_equal(saved[name], w)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "model.npz", "run.json"]


def test_a_run_that_diverges_says_so_and_keeps_the_last_model(digits: Split, tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    config = replace(SMALL, optimiser="sgd", learning_rate=1e30, schedule="constant")
    with pytest.raises(TrainingDiverged):
        record(Training(config, *digits), folder)
    assert facts(folder)["outcome"] == "diverged"
    load_model(folder / "model.npz")


def test_a_loss_that_raises_is_a_run_that_failed(digits: Split, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    folder = new_folder(tmp_path)
    with pytest.raises(ZeroDivisionError):
        record(Training(SMALL, *digits, loss=broken), folder)
    assert facts(folder)["outcome"] == "failed"


def test_figures_that_json_lacks_are_null(digits: Split, tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    config = replace(SMALL, optimiser="sgd", learning_rate=1e30, schedule="constant", stop_on_divergence=False)
    record(Training(config, *digits), folder)
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert last["test_loss"] is None
    assert last["weight_norms"]["W1"] is None


def test_a_folder_is_used_once(digits: Split, tmp_path: Path) -> None:
    record(Training(replace(SMALL, epochs=0), *digits), tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(InvalidArgument, match="holds a run already: pass a new one"):
        record(Training(SMALL, *digits), tmp_path)
    assert (tmp_path / "run.json").read_bytes() == before
    with pytest.raises(InvalidArgument, match="is no folder"):
        record(Training(SMALL, *digits), tmp_path / "nowhere")


def test_training_needs_neither_jax_nor_rich() -> None:
    script = "import sys, gradcheck.mnist; print([m for m in ('jax', 'rich', 'pooch', 'pytest') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
