from __future__ import annotations

from dataclasses import replace

import pytest

from gradcheck.mnist.data import Digits, load


@pytest.fixture(scope="session")
def digits() -> tuple[Digits, Digits]:
    """Real digits, 300 to train on and 100 to test with: few enough for a test, all ten classes in both."""
    splits = load("train", "sample"), load("test", "sample")
    train, test = (
        replace(split, images=split.images[:n], labels=split.labels[:n])
        for split, n in zip(splits, (300, 100), strict=True)
    )
    return train, test
