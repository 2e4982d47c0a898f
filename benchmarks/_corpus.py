"""The specimens of the test suite, and the points at which a benchmark puts them to peers."""

from __future__ import annotations

import copy
import sys
import zlib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from peers import Question

from gradcheck import strategies as gst
from gradcheck.oracles.autodiff import differentiate
from gradcheck.oracles.program.jaxpr import Untraceable
from gradcheck.oracles.reference import with_jax_numpy
from gradcheck.rule import Point
from gradcheck.tree import flatten

Specimen = Any  # tests/mutants/specimen.py, which is no part of the package
TESTS = Path(__file__).resolve().parents[1] / "tests"

# Whether something is found is the question, so nothing is shrunk, and nothing remembered from one run to the next.
ONLY_SEARCH = settings(phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck))

# Far above what rounding does to a value, far below what makes another function of it.
SAME_VALUE = 1e-3

STANDARD_NORMAL = "standard normal"
ABOUT_THE_WITNESS = "within about a tenth of hand-written values"
AS_WRITTEN = "hand-written values"


def specimens() -> tuple[Specimen, ...]:
    """Load the corpus: wrong gradients first, then the right ones, whose family is ``right``."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    corpus = import_module("mutants.corpus")
    return (*corpus.WRONG, *corpus.RIGHT)


def ordinary(specimen: Specimen, seed: int) -> tuple[Question, str]:
    """Draw what a user of a peer would write, and tell how: random floats of the shapes of the witness, its data.

    Standard normal numbers, unless the forward is not defined there (a logarithm of something negative): then the
    numbers written by hand, each changed by a tenth of itself, times a standard normal number.
    """
    rng = np.random.default_rng([seed, zlib.crc32(specimen.name.encode())])
    for kind in (STANDARD_NORMAL, ABOUT_THE_WITNESS):
        args = tuple(
            _perturbed(arg, kind, rng) if at in specimen.forward.argnums else copy.deepcopy(arg)
            for at, arg in enumerate(specimen.forward.witness)
        )
        if _defined(specimen, args):
            return _question(specimen, args, _cotangent(specimen, args, rng)), kind
    args = copy.deepcopy(specimen.forward.witness)
    return _question(specimen, args, _cotangent(specimen, args, rng)), AS_WRITTEN


def _perturbed(written: Any, kind: str, rng: np.random.Generator) -> Any:
    array = np.asarray(written)
    noise = rng.standard_normal(array.shape)
    return np.asarray(noise if kind == STANDARD_NORMAL else array * (1 + noise / 10)).astype(array.dtype)


def drawn(specimen: Specimen, seed: int, examples: int) -> list[Question]:
    """Collect the points that ``gradcheck.verify`` would look at, one after the other, if it never failed."""
    points: list[Question] = []

    @hypothesis.seed(seed)
    @settings(ONLY_SEARCH, max_examples=examples)
    @hypothesis.given(case=specimen.cases(), data=st.data())
    def collect(case: tuple[Any, ...], data: st.DataObject) -> None:
        args = copy.deepcopy(tuple(case))  # the forward may change what it is given
        cotangent = np.float64(1.0)
        if specimen.forward.form != "loss":
            cotangent = data.draw(gst.cotangents(_value(specimen, args)))
        points.append(_question(specimen, args, cotangent))

    with np.errstate(all="ignore"):
        collect()
    return points


def size(question: Question) -> int:
    """Count the numbers that are differentiated by."""
    return sum(np.size(question.args[at]) for at in question.argnums)


def righted(specimen: Specimen, question: Question) -> Question | None:
    """Put the right gradient in the place of the specimen's: what JAX derives from the forward, run with jax.numpy.

    None where JAX cannot trace the forward, gives it another value, or has no finite derivative of it.
    """
    forward, primals = specimen.forward.fun, [np.asarray(question.args[at]) for at in question.argnums]
    flat = flatten(specimen.make(), Point(question.args, {}, question.cotangent))
    try:
        derived = differentiate("the forward", with_jax_numpy(forward), flat, [np.asarray(question.cotangent)])
    except Untraceable:  # there is no control then, and the peer is believed
        return None
    same = np.allclose(_value(specimen, question.args), derived.value[0], rtol=SAME_VALUE)
    if not (same and all(np.all(np.isfinite(gradient)) for gradient in derived.gradient)):
        return None

    def vjp(*args: Any) -> tuple[Any, ...]:
        cotangent = np.asarray(args[-1], dtype=float)
        gradients = derived.plan.values((*derived.inputs[:-1], cotangent))[len(derived.value) :]
        return tuple(g.astype(p.dtype) for g, p in zip(gradients, primals, strict=True))

    return replace(question, functions=lambda: (forward, vjp), form="vjp")


def _question(specimen: Specimen, args: tuple[Any, ...], cotangent: Any) -> Question:
    forward = specimen.forward
    return Question(specimen.functions, forward.form, args, forward.argnums, cotangent)


def _value(specimen: Specimen, args: tuple[Any, ...]) -> Any:
    return specimen.functions()[0](*copy.deepcopy(args))


def _cotangent(specimen: Specimen, args: tuple[Any, ...], rng: np.random.Generator) -> Any:
    if specimen.forward.form == "loss":
        return np.float64(1.0)
    out = np.asarray(_value(specimen, args))
    return np.asarray(rng.standard_normal(out.shape)).astype(out.dtype)


def _defined(specimen: Specimen, args: tuple[Any, ...]) -> bool:
    """Tell whether the forward has a finite value at the arguments, and computes nothing on its way that has none."""
    with np.errstate(invalid="raise", divide="raise"):
        try:
            value = _value(specimen, args)
        except (FloatingPointError, ValueError):
            return False
    return bool(np.all(np.isfinite(np.asarray(value, dtype=float))))
