from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradcheck.errors import InvalidArgument
from gradcheck.mnist.config import Config
from gradcheck.mnist.optim import Adam, Momentum


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("hidden", (0,), r"pass integers of at least 1, as in \(256,\) or \(\)"),
        ("hidden", 256, "pass integers of at least 1"),
        ("hidden", "256", "pass integers of at least 1"),
        ("hidden", (2.5,), "pass integers of at least 1"),
        ("digits", (-1, 2), "pass integers of at least 0"),
        ("activation", "gelu", "is unknown: pass one of relu, sigmoid, tanh"),
        ("activation", None, "is unknown: pass one of"),
        ("optimiser", "adamw", "is unknown: pass one of sgd, momentum, adam"),
        ("schedule", "linear", "is unknown: pass one of constant, cosine, step"),
        ("dtype", "float16", "is unknown: pass one of float32, float64"),
        ("learning_rate", 0.0, "pass a finite number above 0, or None for the default"),
        ("learning_rate", float("nan"), "pass a finite number above 0"),
        ("learning_rate", float("inf"), "pass a finite number above 0"),
        ("learning_rate", "0.1", "pass a finite number above 0"),
        ("learning_rate", True, "pass a finite number above 0"),
        ("batch_size", 0, "pass an integer of at least 1"),
        ("batch_size", 2.0, "pass an integer of at least 1"),
        ("batch_size", True, "pass an integer of at least 1"),
        ("batch_size", None, "pass an integer of at least 1"),
        ("epochs", -1, "pass an integer of at least 0"),
        ("seed", -1, "pass an integer of at least 0"),
        ("limit", 0, "pass an integer of at least 1"),
        ("l2", -1e-4, "pass a finite number, 0 or above"),
        ("l2", float("inf"), "pass a finite number, 0 or above"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_with_the_value_and_advice(name: str, value: Any, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=advice) as caught:
        Config(**{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}")


def test_lists_and_numpy_integers_make_an_equal_config_of_plain_numbers() -> None:
    made = Config(hidden=[np.int64(32)], digits=np.arange(1, 4), batch_size=np.int32(8), limit=np.uint8(9))  # type: ignore[arg-type]  # what argparse and NumPy give
    assert made == Config(hidden=(32,), digits=(1, 2, 3), batch_size=8, limit=9)
    assert type(made.hidden[0]) is type(made.batch_size) is type(made.limit) is int


def test_the_rate_is_what_was_asked_for_or_the_optimisers_default_for_the_batch() -> None:
    assert Config(learning_rate=0.125).rate == 0.125
    config = Config(optimiser="adam")
    assert config.rate == Adam().default_rate(128)
    assert replace(config, batch_size=1).rate == Adam().default_rate(1) < config.rate
    assert Config(optimiser=Momentum(decay=0.5)).rate == Momentum().default_rate(128)
