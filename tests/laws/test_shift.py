"""The law of shifts where the gradient is the difference of two distributions that are nearly the same."""

from __future__ import annotations

import numpy as np

import gradcheck
from gradcheck.catalogue import entries


def test_a_student_that_is_its_teacher_may_answer_with_rounding_alone() -> None:
    (distillation,) = [entry for entry in entries() if entry.name == "distillation/mean"]
    z = np.array([[-1.7485279e-08, 2.004249e-08]], dtype=np.float32)
    verdict = gradcheck.examine(distillation.rule, z, z.copy(), cotangent=np.float32(9.536743e-07)).verdict
    assert verdict.breach is None
    assert verdict.laws["shift"] == "held"
