"""Each mistake, put into a rule, is named; what is said of it is held by a snapshot. Read it as the tired user."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import gradcheck
from gradcheck.mistakes import MISTAKES, Finding
from gradcheck.report.code import as_code

# Where each mistake is shown first, and where besides; all places are in conftest.py.
SHOWN: dict[str, tuple[str, ...]] = {
    "argument overwritten": ("nll mean", "linear"),
    "cotangent overwritten": ("softmax", "dense tanh layer"),
    "shared buffer": ("nll rows", "ridge"),
    "state between calls": ("softmax", "linear"),
    "non-determinism": ("dense tanh layer", "nll mean"),
    "stale cache": ("softmax", "network"),
    "layout assumed": ("linear", "nll rows"),
    "sign": ("nll mean", "attention"),
    "factor N": ("nll mean", "network"),
    "factor 1/N": ("nll mean", "linear"),
    "weights' sum": ("nll with options",),
    "kept rows' count": ("nll in blocks", "nll of tokens"),
    "only the active neuron": ("nll mean", "nll of tokens"),
    "no softmax Jacobian": ("nll mean", "nll rows"),
    "missing onehot": ("nll mean", "nll rows"),
    "missing softmax": ("nll rows", "nll in blocks"),
    "label off by one": ("nll mean", "network"),
    "wrapped label": ("nll in blocks", "nll of tokens"),
    "always the last column": ("nll rows", "nll with options"),
    "softmax over the wrong axis": ("softmax", "nll mean"),
    "softmax over the whole array": ("nll mean", "softmax"),
    "cotangent ignored": ("linear", "soft norm of rows"),
    "only the cotangent's first element": ("nll rows", "attention"),
    "cotangent along the wrong axis": ("nll rows, square",),
    "diagonal of the Jacobian only": ("softmax",),
    "missing cross term": ("softmax",),
    "Jacobian not transposed": ("log-softmax",),
    "missing sum over a broadcast axis": ("linear", "dense tanh layer"),
    "argument counted twice": ("attention", "ridge"),
    "row counted twice": ("nll mean", "soft norm of rows"),
    "repeated index not accumulated": ("nll rows",),
    "transposed": ("linear, square",),
    "rolled": ("linear", "softmax"),
    "flattened in another order": ("linear", "attention"),
    "rows permuted": ("nll mean", "attention"),
    "columns permuted": ("linear", "nll rows"),
    "cotangent nonlinear": ("softmax", "linear"),
    "ignored rows not zeroed": ("nll in blocks", "nll of tokens"),
    "option missing": ("nll with options", "ridge"),
    "option twice": ("nll with options",),
    "regulariser missing": ("ridge", "network"),
    "another axis for N": ("nll mean", "ridge"),
    "labels assumed to sum to one": ("distillation",),
    "soft labels hardened": ("distillation",),
    "first row's softmax for all": ("nll mean", "nll rows"),
    "softmax taken twice": ("nll mean", "nll in blocks"),
    "wrong cross term": ("softmax", "nll rows"),
    "tail block not written": ("nll rows", "linear"),
    "padding included": ("nll mean", "nll in blocks"),
    "overflow": ("nll mean, far apart",),
    "underflow": ("nll mean, far apart",),
    "lower precision inside": ("nll mean", "attention"),
    "cancellation": ("nll rows, offset",),
    "gradient at ties": ("largest of rows, tied",),
    "subgradient at a kink": ("leaky ReLU, at its kink",),
    "wrong only for N = 1": ("nll mean, one row",),
    "wrong only for K = 1": ("soft norm of rows, one column",),
    "wrong only for N = K": ("softmax, square", "nll rows, square"),
    "zero gradient": ("nll mean", "linear"),
    "factor 2": ("ridge", "nll rows"),
    "factor 1/2": ("linear", "nll mean"),
    "factor K": ("nll mean", "softmax"),
    "factor 1/K": ("nll mean", "softmax"),
    "factor T": ("distillation", "nll with options"),
    "factor 1/T": ("nll with options", "distillation"),
    "factor T^2": ("distillation",),
    "constant factor": ("softmax", "linear"),
}
EVERY = [(name, place) for name, places in SHOWN.items() for place in places]

Report = Callable[[str, str], gradcheck.Report]


def test_every_mistake_is_shown() -> None:
    assert [mistake.name for mistake in MISTAKES if mistake.name not in SHOWN] == []


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "place"), EVERY, ids=[f"{name} in {place}" for name, place in EVERY])
def test_an_injected_mistake_is_named(report: Report, name: str, place: str) -> None:
    found = report(name, place)
    assert found.outcome is gradcheck.Outcome.FAIL
    assert found.diagnosis.trouble == ""
    assert [finding.name for finding in found.findings] == [name]


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHOWN)
def test_what_is_said_of_it(report: Report, snapshot: object, name: str) -> None:
    (finding,) = report(name, SHOWN[name][0]).findings
    told = "\n".join(_told(finding))
    assert re.sub(r"-?\d\.\d{5,}", "(a number)", told) == snapshot  # what chance or the last digit may change


def _told(finding: Finding) -> Iterator[str]:
    yield f"{finding.name}: {finding.says}"
    yield f"change: {finding.change}"
    if finding.alike:
        yield f"alike: {', '.join(finding.alike)}"
    if finding.rivals:
        yield f"rivals: {', '.join(finding.rivals)}; told apart at {finding.where}"


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHOWN)
def test_a_finding_can_be_acted_upon(report: Report, name: str) -> None:
    """One sentence each, in words: not a dump, and no figure of more digits than a person reads."""
    (finding,) = report(name, SHOWN[name][0]).findings
    for sentence in (finding.says, finding.change):
        assert sentence == sentence.strip()
        assert "\n" not in sentence
        assert 10 < len(sentence) < 400
        assert not re.search(r"[^-]\d\.\d{17}|array\(\[|<function", sentence)
        assert not sentence.endswith(".")  # a field of a report, as its other lines are
    assert finding.evidence
    assert all(evidence.after <= 1.0 for evidence in finding.evidence) or name.startswith("wrong only")
    assert any(not evidence.before <= 1.0 for evidence in finding.evidence)


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHOWN)
def test_the_point_of_a_finding_shows_the_mistake(report: Report, name: str) -> None:
    """Whoever is handed the point can run it: it fails there too."""
    found = report(name, SHOWN[name][0])
    (finding,) = found.findings
    if finding.point is None:
        assert finding.where == ""
        return
    assert "..." not in as_code(finding.point.args)
    assert found.rule is not None
    with np.errstate(all="ignore"):
        again = gradcheck.examine(
            found.rule,
            *finding.point.args,
            cotangent=finding.point.cotangent if found.rule.takes_cotangent else None,
            **finding.point.kwargs,
        )
    assert again.outcome is gradcheck.Outcome.FAIL
