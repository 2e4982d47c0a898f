"""A run and the folder that records it.

::

    runs/20260314T101530Z-5f0c3a/
        run.json        what ran, on what, with what, how it ended and how long it took
        metrics.jsonl   one JSON object for each epoch, written as soon as it is measured
        model.npz       the classifier, see `gradcheck.mnist.model`

Two runs of one seed leave the same bytes in ``metrics.jsonl`` and ``model.npz``, as far as `gradcheck.mnist.loop`
promises; whatever depends on the day is in ``run.json``, and so is what may make bytes differ between machines.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np

import gradcheck
from gradcheck.errors import InvalidArgument, TrainingDiverged
from gradcheck.mnist.data import Digits
from gradcheck.mnist.loop import Metrics, Result, Training
from gradcheck.mnist.model import replacing, save_model
from gradcheck.mnist.progress import Silence

__all__ = ["METRICS", "MODEL", "RUN", "new_folder", "record"]

RUN: Final = "run.json"
METRICS: Final = "metrics.jsonl"
MODEL: Final = "model.npz"

# How BLAS libraries are told their number of threads, on which the last bits depend.
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def new_folder(root: str | os.PathLike[str] = "runs") -> Path:
    """Make an empty folder for a run, named after the time, in UTC, and a random number.

    Raises
    ------
    InvalidArgument
        It cannot be made.
    """
    folder = Path(root, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InvalidArgument(f"root={os.fspath(root)!r}: no folder can be made in it ({error})") from error
    return folder


def record(
    training: Training,
    folder: str | os.PathLike[str],
    *,
    reporter: Silence | None = None,
    arguments: Sequence[str] = (),
) -> Result:
    """Train to the end and record it in a folder.

    However the run ends, by Ctrl-C or divergence too, the classifier is saved as the last completed step left it, and
    ``run.json`` says how it ended: ``outcome`` is ``"running"``, ``"finished"``, ``"interrupted"``, ``"diverged"`` or
    ``"failed"``.

    Parameters
    ----------
    training : Training
        The run, at its beginning or anywhere else.
    folder : path
        An existing folder with no run in it, such as `new_folder` makes.
    reporter : optional
        Hears of each step and epoch, see `gradcheck.mnist.progress`; by default nobody does.
    arguments : sequence of str
        The command line, to be recorded.

    Raises
    ------
    InvalidArgument
        There is no such folder, or it holds a run.
    TrainingDiverged
        As `Training.epochs`.
    KeyboardInterrupt
        Passed on, with everything saved.
    """
    folder = Path(folder)
    if not folder.is_dir() or (folder / RUN).exists():
        state = "holds a run already" if folder.is_dir() else "is no folder"
        raise InvalidArgument(f"folder={os.fspath(folder)!r} {state}: pass a new one, as new_folder() makes")
    facts = _facts(training, arguments)
    _write_json(folder / RUN, facts | {"outcome": "running"})
    history: list[Metrics] = []
    outcome = "failed"
    try:
        with open(folder / METRICS, "w", encoding="utf-8", newline="\n") as lines, reporter or Silence() as heard:
            for metrics in training.epochs(heard.step):
                lines.write(_line(metrics))
                lines.flush()
                history.append(metrics)
                heard.epoch(metrics)
        outcome = "finished"
    except (KeyboardInterrupt, TrainingDiverged) as error:
        outcome = "interrupted" if isinstance(error, KeyboardInterrupt) else "diverged"
        raise
    finally:
        save_model(folder / MODEL, training.model)
        ended = {"outcome": outcome, "steps": training.state.step, "seconds": [each.seconds for each in history]}
        _write_json(folder / RUN, facts | ended)
    return Result(training.model, tuple(history))


def _line(metrics: Metrics) -> str:
    values = dataclasses.asdict(metrics)
    del values["seconds"]  # the one figure that differs between two runs of one seed
    return json.dumps(_finite(values), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by None: JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value


def _facts(training: Training, arguments: Sequence[str]) -> dict[str, Any]:
    """Collect what someone needs who wants to run this again, or to know why the bytes differ."""
    config = training.config
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    # jax only where something has imported it, since the loop does not use it and importing it takes a second.
    modules = {"numpy": np, "gradcheck": gradcheck, "jax": sys.modules.get("jax")}
    versions = {name: module.__version__ for name, module in modules.items() if module is not None}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": list(arguments),
        "config": vars(config) | {"optimiser": str(training.optimiser), "learning_rate": config.rate},
        "seed": config.seed,
        "data": {"train": _origin(training.train), "test": _origin(training.test)},
        "versions": {"python": platform.python_version(), **versions},
        "platform": platform.platform(),
        "blas": {name: blas.get(name) for name in ("name", "version")},
        "threads": {"cpus": os.cpu_count()} | {name: os.environ[name] for name in _THREADS if name in os.environ},
    }


def _origin(digits: Digits) -> dict[str, Any]:
    return {
        "source": digits.source,
        "sha256": {"images": digits.sha256[0], "labels": digits.sha256[1]},
        "count": len(digits),
        "classes": digits.classes,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())
