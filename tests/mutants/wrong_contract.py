"""Gradients that are right at a first look and break what a pullback promises.

Cotangents, changed arguments, shared memory, state, non-determinism, and the shape and dtype of the answer.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from . import forwards as f
from .forwards import one_hot, softmax
from .specimen import CORNER, EVERYWHERE, ORDINARY, Array, Function, wrong, wrong_anew

Pair = tuple[Function, Function]

# --- cotangent ----------------------------------------------------------------------------------------------


@wrong(f.NLL_EACH, "cotangent", "pytorch/pytorch#21961: grad_out ignored completely", ORDINARY)
def cotangent_ignored(z: Array, y: Array, cotangent: Array) -> Array:
    return softmax(z) - one_hot(y, z)


@wrong(f.NLL_SUM.in_form("vjp"), "cotangent", "ashawkey/stable-dreamfusion#158: loss scaling ignored", ORDINARY)
def scalar_cotangent_ignored(z: Array, y: Array, cotangent: Array) -> Array:
    return softmax(z) - one_hot(y, z)


@wrong(f.NLL_EACH, "cotangent", "linkedin/Liger-Kernel#968: every row multiplied by cotangent[0]", ORDINARY)
def first_cotangent_for_all_rows(z: Array, y: Array, cotangent: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) * cotangent[:1].sum()


@wrong(f.HARD_TANH, "cotangent", "elixir-nx/nx#1779: the cotangent applied twice", ORDINARY)
def cotangent_squared(x: Array, cotangent: Array) -> Array:
    return np.where(np.abs(x) < 1, cotangent**2, 0.0)


@wrong(f.TANH, "cotangent", "yizt/numpy_neural_network#6: the derivative taken at the cotangent", EVERYWHERE)
def derivative_at_the_cotangent(x: Array, cotangent: Array) -> Array:
    return 1 - np.tanh(cotangent) ** 2


@wrong(f.RELU, "cotangent", "haifengl/smile#528: overwritten by 0 or 1 instead of multiplied", ORDINARY)
def cotangent_overwritten_by_the_mask(x: Array, cotangent: Array) -> Array:
    return np.where(x > 0, 1.0, 0.0)


@wrong(
    f.LEAKY_RELU,
    "cotangent",
    "SilasMarvin/dnns-from-scratch-in-zig#5: the slope, not slope times it",
    ORDINARY,
)
def slope_without_the_cotangent(x: Array, cotangent: Array) -> Array:
    return np.where(x > 0, cotangent, f.SLOPE)


@wrong(
    f.TANH,
    "cotangent",
    "pytorch/pytorch#81417: backward works in its argument",
    EVERYWHERE,
    "cotangent changed",
)
def cotangent_changed(x: Array, cotangent: Array) -> Array:
    cotangent *= 1 - np.tanh(x) ** 2
    return cotangent.copy()


# --- mutation -----------------------------------------------------------------------------------------------


@wrong_anew(
    f.NLL_MEAN,
    "mutation",
    "linkedin/Liger-Kernel#272: forward works in its input",
    EVERYWHERE,
    "argument changed",
)
def forward_shifts_its_input() -> Pair:
    def loss(z: Array, y: Array) -> Any:
        z -= z.max(axis=1, keepdims=True)
        return f.nll_mean(z, y)

    def gradient(z: Array, y: Array) -> Array:
        return (softmax(z) - one_hot(y, z)) / max(len(y), 1)

    return loss, gradient


@wrong(f.NLL_EACH, "mutation", "Dao-AILab/flash-attention#539: inplace_backward", EVERYWHERE, "argument changed")
def logits_overwritten_by_their_gradient(z: Array, y: Array, cotangent: Array) -> Array:
    z[...] = (softmax(z) - one_hot(y, z)) * cotangent[:, None]
    return z.copy()


@wrong(
    f.NLL_KEPT,
    "mutation",
    "jfzhang95/pytorch-deeplab-xception#20: labels rewritten",
    CORNER,
    "argument changed",
)
def ignored_labels_rewritten(z: Array, y: Array) -> Array:
    kept = y >= 0
    y[~kept] = 0
    return (softmax(z) - one_hot(y, z)) * kept[:, None] / np.maximum(kept.sum(), 1)


@wrong(
    f.SOFTMAX,
    "mutation",
    "NVIDIA/apex#1430: a fused softmax writes its result over the cotangent",
    EVERYWHERE,
    "cotangent changed",
)
def result_written_over_the_cotangent(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    cotangent[...] = a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))
    return cotangent.copy()


# --- aliasing -----------------------------------------------------------------------------------------------


@wrong(f.ADD, "aliasing", "pytorch/pytorch#46168: both gradients of x + y in one storage", EVERYWHERE, "aliasing")
def one_array_for_both_arguments(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
    shared = cotangent.copy()
    return shared, shared


@wrong(f.ADD, "aliasing", "tenstorrent/tt-metal#53970: the cotangent itself returned", EVERYWHERE, "aliasing")
def cotangent_returned(x: Array, y: Array, cotangent: Array) -> tuple[Array, Array]:
    return cotangent, cotangent.copy()


@wrong_anew(f.HALF_SQUARE, "aliasing", "ggml-org/ggml#1501: gradient buffers reused", EVERYWHERE, "aliasing")
def one_buffer_for_all_calls() -> Pair:
    buffers: dict[tuple[int, ...], Array] = {}

    def vjp(x: Array, cotangent: Array) -> Array:
        return np.multiply(x, cotangent, out=buffers.setdefault(x.shape, np.empty(x.shape)))

    return f.half_square, vjp


@wrong(
    f.HARD_TANH.on(0.1 * f.X),
    "aliasing",
    "unslothai/unsloth#4550: the result is the cotangent's own memory, where nothing is to be done",
    CORNER,
    "aliasing",
)
def cotangent_returned_where_nothing_is_clipped(x: Array, cotangent: Array) -> Array:
    inside = np.abs(x) < 1
    return cotangent if inside.all() else cotangent * inside


# --- state --------------------------------------------------------------------------------------------------


@wrong_anew(f.TANH, "state", "karpathy/micrograd#102: gradients accumulate, nobody zeroes them", EVERYWHERE, "repeat")
def accumulates_over_calls() -> Pair:
    totals: dict[tuple[int, ...], Array] = {}

    def vjp(x: Array, cotangent: Array) -> Array:
        totals[x.shape] = totals.get(x.shape, 0.0) + cotangent * (1 - np.tanh(x) ** 2)
        return totals[x.shape].copy()

    return f.tanh, vjp


@wrong_anew(f.SOFTMAX, "state", "capytaine/capytaine#442: the cache key ignores the values", EVERYWHERE, "repeat")
def cache_keyed_by_shape() -> Pair:
    outputs: dict[tuple[int, ...], Array] = {}

    def vjp(z: Array, cotangent: Array) -> Array:
        a = outputs.setdefault(z.shape, softmax(z))
        return a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))

    return f.softmax, vjp


@wrong_anew(
    f.TANH.in_form("pullback"),
    "state",
    "microsoft/CNTK#3133: one forward's values per node",
    EVERYWHERE,
    "repeat",
)
def only_the_latest_forward_remembered() -> Pair:
    saved: dict[str, Array] = {}

    def forward_and_pullback(x: Array) -> tuple[Array, Function]:
        saved["out"] = np.tanh(x)
        return saved["out"].copy(), lambda cotangent: cotangent * (1 - saved["out"] ** 2)

    return f.tanh, forward_and_pullback


@wrong_anew(
    f.TANH.in_form("pullback"),
    "state",
    "torch/nn#792: a second backward differs from the first",
    EVERYWHERE,
    "repeat",
)
def pullback_spends_its_cache() -> Pair:
    def forward_and_pullback(x: Array) -> tuple[Array, Function]:
        slope = 1 - np.tanh(x) ** 2

        def pullback(cotangent: Array) -> Array:
            gradient = cotangent * slope
            slope[...] = 0
            return gradient

        return np.tanh(x), pullback

    return f.tanh, forward_and_pullback


@wrong_anew(
    f.TANH.in_form("pullback"),
    "state",
    "Dao-AILab/quack#209: the gradient saved by the forward is scaled in place",
    ORDINARY,
    "repeat",
)
def saved_gradient_scaled_in_place() -> Pair:
    def forward_and_pullback(x: Array) -> tuple[Array, Function]:
        saved = 1 - np.tanh(x) ** 2

        def pullback(cotangent: Array) -> Array:
            np.multiply(saved, cotangent, out=saved)
            return saved.copy()

        return np.tanh(x), pullback

    return f.tanh, forward_and_pullback


# --- non-determinism ----------------------------------------------------------------------------------------


@wrong_anew(
    f.LINEAR,
    "non-determinism",
    "fla-org/flash-linear-attention#889: a racing accumulation",
    EVERYWHERE,
    "repeat",
)
def an_update_lost_now_and_then() -> Pair:
    calls = count()

    def vjp(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        # every second call the last row's update is overwritten, as when two threads add to one cell
        kept = cotangent[: len(cotangent) - next(calls) % 2]
        return cotangent @ w.T, h.T @ cotangent, kept.sum(axis=0)

    return f.linear, vjp


@wrong_anew(
    f.PICK,
    "non-determinism",
    "apache/mxnet#11899: with duplicate indices, the result varies",
    CORNER,
    "repeat",
)
def duplicates_race_now_and_then() -> Pair:
    calls = count(1)

    def vjp(table: Array, index: Array, cotangent: Array) -> Array:
        gradient = np.zeros_like(table)
        if next(calls) % 3:
            np.add.at(gradient, index, cotangent)
        else:
            gradient[index] += cotangent  # of equal indices, the last one wins
        return gradient

    return f.pick, vjp


@wrong_anew(
    f.NLL_EACH,
    "non-determinism",
    "pytorch/pytorch#187687: a buffer of indices overwritten before it is read, rarely",
    CORNER,
    "repeat",
)
def labels_of_the_next_row_now_and_then() -> Pair:
    calls = count(1)

    def vjp(z: Array, y: Array, cotangent: Array) -> Array:
        read = y if next(calls) % 5 else np.roll(y, 1)
        return (softmax(z) - one_hot(read, z)) * cotangent[:, None]

    return f.nll_each, vjp


# --- contract: shape, dtype, structure ----------------------------------------------------------------------


@wrong(
    f.NLL_MEAN,
    "contract",
    "SKaiNET-developers/SKaiNET#877: the loss detaches, no gradient",
    EVERYWHERE,
    "structure",
)
def nothing_returned(z: Array, y: Array) -> None:
    (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    f.NLL_MEAN,
    "contract",
    "mlpack/mlpack#3679: the batch axis of a gradient is lost",
    EVERYWHERE,
    "structure",
)
def summed_over_the_rows(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)).sum(axis=0) / max(len(y), 1)


@wrong(
    f.HALF_SQUARE,
    "contract",
    "keras-team/keras-core#922: float64 comes back as float32",
    EVERYWHERE,
    "structure",
)
def float32_for_float64(x: Array, cotangent: Array) -> Array:
    return (x * cotangent).astype(np.float32)


@wrong(
    f.NLL_MEAN.on(f.Z.astype("f4"), f.Y, cases=f.softmax_nll(labels="index", dtype="float32")),
    "contract",
    "HIPS/autograd#199: float32 divided by an integer array is float64",
    EVERYWHERE,
    "structure",
)
def float64_for_float32(z: Array, y: Array) -> Array:
    rows = np.array([max(len(y), 1)])
    return (softmax(z) - one_hot(y, z)) / rows


@wrong(
    f.TANH,
    "contract",
    "under-Peter/OMEinsum.jl#16: a complex gradient of a real argument",
    EVERYWHERE,
    "structure",
)
def complex_for_real(x: Array, cotangent: Array) -> Array:
    return cotangent * (1 - np.tanh(x + 0j) ** 2)
