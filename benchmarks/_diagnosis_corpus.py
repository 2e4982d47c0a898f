"""The names that the wrong gradients of the test suite's corpus deserve: as data, to be read by anybody."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from _corpus import Specimen, righted, specimens
from _diagnosis_subject import Subject
from peers import Question

from gradcheck import Rule

_SUM, _KEPT = "weights' sum", "kept rows' count"
_IGNORED, _SOFT, _CROSS = "ignored rows not zeroed", "labels assumed to sum to one", "wrong cross term"
_NO_SUM, _FIRST = "missing sum over a broadcast axis", "only the cotangent's first element"

# From what a specimen's docstring or report says is wrong with it. All others are of no listed kind.
EXPECTED: dict[str, tuple[str, ...]] = {
    "mean-missing": ("factor N",),
    "sum-divided-by-rows": ("factor 1/N",),
    "mean-over-classes": ("another axis for N",),
    "mean-over-all-entries": ("another axis for N", "factor 1/K"),
    "mean-taken-twice": ("factor 1/N",),
    "weights-averaged-over-rows": (_SUM,),
    "ignored-rows-counted": (_KEPT,),
    "mean-over-sequences-not-tokens": ("another axis for N",),
    "one-row-squeezed": ("wrong only for N = 1",),
    "sign-flipped": ("sign",),
    "labels-not-subtracted": ("missing onehot",),
    "labels-added": ("missing onehot",),
    "minus-of-the-log-dropped": ("sign",),
    "doubled": ("factor 2",),
    "temperature-forgotten": ("factor T", "constant factor"),  # it is no argument there
    "labels-assumed-to-sum-to-one": (_SOFT,),
    "cotangent-assumed-to-sum-to-one": (_CROSS, "missing cross term"),
    "softmax-taken-twice": ("softmax taken twice",),
    "only-the-active-neuron": ("only the active neuron",),
    "no-jacobian-at-all": ("no softmax Jacobian",),
    "jacobian-diagonal-only": ("diagonal of the Jacobian only",),
    "jacobian-without-dot-product": ("missing cross term",),
    "cross-term-sign": (_CROSS,),
    "log-softmax-with-the-dot-product-of-softmax": (_CROSS,),
    "first-row-for-all-rows": ("first row's softmax for all",),
    "labels-off-by-one": ("label off by one",),
    "ignored-label-wraps": ("wrapped label",),
    "soft-labels-hardened": ("soft labels hardened",),
    "repeated-index-counted-once": ("repeated index not accumulated",),
    "softmax-over-the-rows": ("softmax over the wrong axis",),
    "softmax-over-the-whole-array": ("softmax over the whole array",),
    "dot-product-over-the-batch": (_CROSS,),
    "cotangent-along-the-classes": ("cotangent along the wrong axis",),
    "softmax-over-the-time": ("softmax over the wrong axis",),
    "one-class-squeezed": ("wrong only for K = 1",),
    "ignored-rows-keep-their-gradient": (_IGNORED,),
    "ignored-label-taken-for-class-zero": (_IGNORED,),
    "only-negative-labels-ignored": (_IGNORED,),
    "weights-ignored": ("option missing",),
    "weights-applied-twice": ("option twice",),
    "weights-averaged-over-the-classes": (_SUM,),
    "smoothing-in-the-loss-only": ("option missing",),
    "smoothing-of-ignored-rows": (_IGNORED,),
    "soft-labels-by-their-argmax": ("soft labels hardened",),
    "labels-of-zero-get-a-gradient": (_SOFT,),
    "mean-skipped-for-soft-labels": ("factor N",),
    "temperature-multiplied": ("factor T^2",),
    "temperature-squared": ("factor T^2",),
    "z-loss-without-gradient": ("option missing",),
    "z-loss-of-ignored-rows": (_IGNORED,),
    "no-shift": ("overflow",),
    "no-shift-in-float32": ("overflow",),
    "sigmoid-derivative-overflows": ("overflow",),
    "shifted-by-the-minimum": ("overflow",),
    "maximum-of-the-whole-array": ("underflow",),
    "weighted-by-zero-over-zero": ("underflow", "overflow"),
    "small-gradients-dropped": ("underflow",),
    "float32-inside": ("lower precision inside",),
    "float16-inside": ("lower precision inside",),
    "weights-accumulated-in-float32": ("lower precision inside",),
    "everything-a-third-too-small": ("constant factor",),
    "every-tied-maximum-in-full": ("gradient at ties",),
    "all-of-a-constant-row-in-full": ("gradient at ties",),
    "both-branches-at-the-kink": ("subgradient at a kink",),
    "ragged-tail-not-written": ("tail block not written",),
    "padding-of-the-block-counted": ("padding included",),
    "padding-rows-counted-in-the-mean": ("padding included",),
    "bias-not-summed": (_NO_SUM,),
    "bias-averaged": ("factor 1/N",),
    "weight-gradient-transposed": ("transposed",),
    "weights-not-transposed": ("Jacobian not transposed",),
    "penalty-without-factor-two": ("regulariser missing",),
    "penalty-subtracted": ("regulariser missing",),
    "penalty-forgotten": ("regulariser missing",),
    "gain-gradient-averaged": ("factor 1/N",),
    "cotangent-not-broadcast-back": (_NO_SUM,),
    "broadcast-argument-not-summed": (_NO_SUM,),
    "cotangent-ignored": ("cotangent ignored",),
    "scalar-cotangent-ignored": ("cotangent ignored",),
    "first-cotangent-for-all-rows": (_FIRST,),
    "cotangent-squared": ("cotangent nonlinear",),
    "derivative-at-the-cotangent": ("cotangent nonlinear",),
    "cotangent-overwritten-by-the-mask": ("cotangent ignored", "cotangent nonlinear"),
    "slope-without-the-cotangent": ("cotangent ignored",),
    "cotangent-changed": ("cotangent overwritten",),
    "forward-shifts-its-input": ("argument overwritten",),
    "logits-overwritten-by-their-gradient": ("argument overwritten",),
    "ignored-labels-rewritten": ("argument overwritten",),
    "result-written-over-the-cotangent": ("cotangent overwritten",),
    "one-array-for-both-arguments": ("shared buffer",),
    "cotangent-returned": ("shared buffer",),
    "one-buffer-for-all-calls": ("shared buffer",),
    "cotangent-returned-where-nothing-is-clipped": ("shared buffer",),
    "accumulates-over-calls": ("state between calls",),
    "cache-keyed-by-shape": ("stale cache",),
    "only-the-latest-forward-remembered": ("state between calls", "stale cache"),
    "pullback-spends-its-cache": ("state between calls",),
    "saved-gradient-scaled-in-place": ("state between calls",),
    "an-update-lost-now-and-then": ("non-determinism",),
    "duplicates-race-now-and-then": ("non-determinism",),
    "labels-of-the-next-row-now-and-then": ("non-determinism",),
}
# Each of this family assumes a layout, and nothing else is wrong with it.
_FAMILIES = {"layout": ("layout assumed",)}


def wrong_specimens() -> list[Specimen]:
    """Give the wrong gradients of the corpus."""
    return [specimen for specimen in specimens() if specimen.family != "right"]


def expected_of(specimen: Specimen) -> tuple[str, ...]:
    """Give the names that a specimen may be given; none where it is of no listed kind."""
    return EXPECTED.get(specimen.name, _FAMILIES.get(specimen.family, ()))


def subject_of(specimen: Specimen) -> Subject:
    """Give the right rule that a specimen is a wrong one of, as JAX derives it."""
    return Subject(specimen.name, lambda: _right(specimen), specimen.cases)


def _right(specimen: Specimen) -> Rule:
    """Put what JAX derives in the place of the specimen's gradient. It raises where JAX cannot tell."""
    form, argnums, forward = specimen.forward.form, specimen.forward.argnums, specimen.forward.fun

    def call(*args: Any) -> tuple[Any, Callable[[Any], Any]]:
        def pullback(cotangent: Any) -> Any:
            question = righted(specimen, Question(specimen.functions, form, args, argnums, cotangent))
            if question is None:
                raise LookupError(f"JAX cannot trace the forward of {specimen.name}, or it has no derivative here")
            gradients = question.functions()[1](*args, cotangent)
            return gradients[0] if len(gradients) == 1 else gradients

        return forward(*deepcopy(args)), pullback

    rule: Rule = specimen.make()
    return replace(rule, call=call)
