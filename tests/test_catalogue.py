"""Every built-in derivation, over all regimes, against JAX's autodiff and finite differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, settings

import gradcheck
from gradcheck import derivations
from gradcheck import strategies as gst
from gradcheck.catalogue import Entry, entries

ENTRIES = tuple(entries())
SETTINGS = settings(database=None, phases=[Phase.generate])


# What a loss is made of, or has no reduction or options.
PARTS = {"init_params", "linear_of_data", "mlp_logits", "softmax_nll"}
# Whose arguments are like an example, or a table of parameters: there are no regimes to count.
UNCOUNTED = {
    "linear",
    "embedding",
    "l2-penalty",
    "mlp/relu",
    "mlp/sigmoid",
    "mlp/tanh",
    "softmax-nll/fused-linear/rows-per-chunk-2+block-3+reduction-none+ignore-index+z-loss+any-layer",
}
# Forms whose other arguments settle how they work, so that no entry has an option alone.
BLOCKED = ("streaming", "fused_linear", "sharded")
# Regimes of values that are about the label's logit, which logits alone do not have.
OF_THE_LABEL = {"saturated right", "saturated wrong"}


def examples_of(entry: Entry) -> int:
    """A hundred cases visit every regime. An option is a few lines on top of a form, and the plain form has 300."""
    return 300 if entry.name.endswith("/mean") or "/" not in entry.name or entry.name.startswith("mlp/") else 100


def regimes_due(entry: Entry) -> set[str]:
    """Name the regimes that must be visited: by what the entry asks `softmax_nll` for, else those of logits alone."""
    drawn = getattr(entry.cases, "keywords", {}).get("drawn")
    if drawn is None:
        return {name for name, r in gst.REGIMES.items() if r.kind in ("sizes", "values")} - OF_THE_LABEL
    asked = {
        None: True,
        "masks=True": drawn.get("masks", False),
        "labels='soft'": drawn.get("labels") == "soft",
        "ignore_index=": "ignore_index" in drawn,
        "weights=True": drawn.get("weights", False),
    }
    ruled_out = {"one class"} if drawn.get("classes", (1,))[0] > 1 else set()
    if entry.cases.keywords.get("gaps"):  # type: ignore[attr-defined]  # a partial, as above
        ruled_out.add("towering")  # which is a gap beyond those
    return {name for name, regime in gst.REGIMES.items() if asked[regime.option]} - ruled_out


def dashed(name: str) -> str:
    return name.replace("_", "-").replace(" ", "-")


def test_every_derivation_is_listed_once() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    heads = {part for name in names for part in name.split("/")[:2]}
    rules = set(derivations.__all__) - PARTS | set(derivations.softmax_nll.OPTIONS)
    assert {dashed(rule) for rule in rules} <= heads


@pytest.mark.parametrize("form", derivations.softmax_nll.OPTIONS)
def test_every_option_of_a_form_is_listed(form: str) -> None:
    pages = {entry.name.split("/")[2] for entry in ENTRIES if entry.name.startswith(f"softmax-nll/{dashed(form)}/")}
    options = {dashed(option) for option in derivations.softmax_nll.OPTIONS[form] if option != "reduction"}
    if form in BLOCKED:
        parts = {part for page in pages for part in page.split("+")}
        assert options | {"reduction-none", "reduction-sum"} <= parts
        assert any("reduction" not in page for page in pages)  # which is the mean
    else:
        assert {page for page in pages if "+" not in page} == options | {"mean", "sum", "none"}


@pytest.mark.sweep
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_it_passes_over_all_regimes(entry: Entry, dtype: str) -> None:
    examples = examples_of(entry)
    report = gradcheck.verify(entry.rule, entry.cases(dtype), examples=examples, seed=0, settings=SETTINGS)
    assert report
    assert report.tally is not None
    assert report.tally.examples == examples
    visited = {name for name, count in report.tally.regimes.items() if count}
    assert visited == set(report.tally.regimes)
    assert ("regimes of inputs not counted" in str(report)) == (entry.name in UNCOUNTED)
    assert entry.name in UNCOUNTED or regimes_due(entry) <= visited
    # both oracles judged all of it: nothing was left to one of them, and neither contradicted the other, but for
    # differences that straddle the kink of a rectifier
    assert not any("judged by" in note for note in report.tally.notes)
    assert "relu" in entry.name or not any("contradict" in note for note in report.tally.notes)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_both_oracles_have_a_say(entry: Entry) -> None:
    (case,) = _some(entry, 1)
    words = {vote.oracle: vote.agrees for vote in gradcheck.examine(entry.rule, *case).verdict.votes}
    assert words == {"autodiff": True, "finite differences": True}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_its_reference_is_what_xla_computes_too(entry: Entry) -> None:
    """The interpreter evaluates JAX's program; here XLA compiles and runs it, at a few shapes."""
    (case,) = _some(entry, 1)
    reference: Any = entry.rule.reference
    wrt = entry.rule.differentiated(case)
    with jax.enable_x64(True):
        value, pullback = jax.vjp(lambda *p: reference(*_filled(case, wrt, p)), *[case[i] for i in wrt])
        cotangent = jnp.full(jnp.shape(value), 0.75)
        truth = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(jax.jit(pullback)(cotangent))]
    report = gradcheck.examine(entry.rule, *case, cotangent=np.asarray(cotangent))
    assert report
    for discrepancy, theirs in zip(report.verdict.discrepancies, truth, strict=True):
        # it is a float64 evaluation of the same program, and may be off by what that precision allows
        assert np.all(np.abs(discrepancy.reference - theirs) <= discrepancy.widest)


def _some(entry: Entry, count: int) -> list[tuple[Any, ...]]:
    """Draw cases with rows, at which the gradient is large enough to be judged, seeded."""
    from hypothesis import given, seed

    found: list[tuple[Any, ...]] = []

    @seed(3)
    @settings(SETTINGS, max_examples=20, deadline=None)
    @given(entry.cases("float64"))
    def collect(case: tuple[Any, ...]) -> None:
        if len(found) == count or any(np.size(leaf) < 2 for leaf in jax.tree_util.tree_leaves(tuple(case))):
            return
        if not gradcheck.examine(entry.rule, *case).verdict.vacuous:
            found.append(tuple(case))

    collect()
    return found


def _filled(case: tuple[Any, ...], wrt: tuple[int, ...], primals: tuple[Any, ...]) -> list[Any]:
    filled = list(case)
    for i, primal in zip(wrt, primals, strict=True):
        filled[i] = primal
    return filled
