"""Right gradients in unusual algebra, each on the domain for which its author wrote it.

A checker that raises at one of these accuses an innocent.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import forwards as f
from .forwards import one_hot, softmax
from .specimen import Array, Function, right, right_anew

Pair = tuple[Function, Function]

FLOAT32 = f.NLL_MEAN.on(f.Z.astype("f4"), f.Y, cases=f.softmax_nll(labels="index", dtype="float32"))
FEW = {"rows": (0, 4), "classes": (1, 4)}  # for those that loop over entries in Python
SOME_ROWS = f.NLL_MEAN.on(f.Z, f.Y, cases=f.softmax_nll(labels="index", rows=(1, 8)))  # [] has no shape (0, K)
MODERATE = f.NLL_MEAN.on(f.Z, f.Y, cases=f.softmax_nll(labels="index", gap=30.0))  # no probability underflows

# --- softmax and negative log-likelihood --------------------------------------------------------------------


@right(f.NLL_MEAN, "the textbook's a - y, over N")
def textbook(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "two rows at a time")
def chunked_over_rows(z: Array, y: Array) -> Array:
    gradient = np.empty_like(z)
    for start in range(0, len(z), 2):
        rows = slice(start, start + 2)
        gradient[rows] = (softmax(z[rows]) - one_hot(y[rows], z[rows])) / len(y)
    return gradient


# z - logsumexp is rounded to an ulp of logsumexp: right, though it loses as many digits as z has before the point
@right(f.NLL_MEAN, "in log space: exp(z - logsumexp) - y")
def log_space(z: Array, y: Array) -> Array:
    top = z.max(axis=1, keepdims=True)
    return (np.exp(z - (top + np.log(np.exp(z - top).sum(axis=1, keepdims=True)))) - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "logaddexp.reduce does the whole of logsumexp")
def logaddexp_reduced(z: Array, y: Array) -> Array:
    total = np.logaddexp.reduce(z, axis=1, keepdims=True)
    return (np.exp(z - total) - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "pairwise: a_i = 1 / sum_j exp(z_j - z_i), where 1 / inf is the 0 it should be")
@np.errstate(over="ignore")
def pairwise(z: Array, y: Array) -> Array:
    a = 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)
    return (a - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "powers of two, as fast kernels take them")
def base_two(z: Array, y: Array) -> Array:
    powers = np.exp2((z - z.max(axis=1, keepdims=True)) * np.log2(np.e))
    return (powers / powers.sum(axis=1, keepdims=True) - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "one pass over the classes, rescaled whenever the maximum grows")
def online(z: Array, y: Array) -> Array:
    top, total = z[:, 0].copy(), np.ones(len(z))
    for column in z.T[1:]:
        higher = np.maximum(top, column)
        total = total * np.exp(top - higher) + np.exp(column - higher)
        top = higher
    return (np.exp(z - top[:, None]) / total[:, None] - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "sums from the last class to the first")
def reversed_sums(z: Array, y: Array) -> Array:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    total = np.cumsum(exponentials[:, ::-1], axis=1)[:, -1:]
    return (exponentials / total - one_hot(y, z)) / max(len(y), 1)


@right(f.NLL_MEAN, "pure Python, exactly rounded sums")
def python_and_fsum(z: Array, y: Array) -> Array:
    gradient = np.empty_like(z)
    for row, label, out in zip(z.tolist(), y.tolist(), gradient, strict=True):
        exponentials = [math.exp(value - max(row)) for value in row]
        total = math.fsum(exponentials)
        for k, exponential in enumerate(exponentials):
            out[k] = (exponential / total - (k == label)) / len(z)
    return gradient


@right(
    f.NLL_MEAN.on(f.Z, f.Y, cases=f.softmax_nll(labels="index", **FEW)),
    "complex step of the loss, entry by entry",
)
def complex_step(z: Array, y: Array) -> Array:
    step = 1e-30  # no difference is taken, so it may be far below one ulp
    gradient = np.empty_like(z)
    for index in np.ndindex(z.shape):
        moved = z.astype(complex)
        moved[index] += 1j * step
        gradient[index] = f.nll_mean(moved, y).imag / step
    return gradient


@right(f.NLL_MEAN, "labels compared with the class numbers, 1/N multiplied in early")
def one_hot_by_comparison(z: Array, y: Array) -> Array:
    share = 1.0 / max(len(y), 1)
    return share * softmax(z) - share * (y[:, None] == np.arange(z.shape[1]))


@right(MODERATE, "the chain rule in full: -y / a through the Jacobian of every row")
def jacobian_per_row(z: Array, y: Array) -> Array:
    a = softmax(z)
    rows = [(np.diag(p) - np.outer(p, p)) @ (-label / p) for p, label in zip(a, one_hot(y, z), strict=True)]
    return np.array(rows).reshape(z.shape) / max(len(y), 1)


@right(f.NLL_MEAN, "extended precision inside, rounded once at the end")
def long_double_inside(z: Array, y: Array) -> Array:
    wide = z.astype(np.longdouble)
    return ((softmax(wide) - one_hot(y, wide)) / max(len(y), 1)).astype(z.dtype)


@right(f.NLL_MEAN, "a view with negative strides, of fresh memory")
def negative_strides(z: Array, y: Array) -> Array:
    backwards: Array = ((softmax(z) - one_hot(y, z)) / max(len(y), 1))[::-1, ::-1].copy()
    return backwards[::-1, ::-1]


@right(f.NLL_MEAN, "a read-only result")
def read_only(z: Array, y: Array) -> Array:
    gradient: Array = (softmax(z) - one_hot(y, z)) / max(len(y), 1)
    gradient.flags.writeable = False
    return gradient


@right(SOME_ROWS, "nested lists, where an array is usual")
def nested_lists(z: Array, y: Array) -> Any:
    return ((softmax(z) - one_hot(y, z)) / max(len(y), 1)).tolist()


@right(FLOAT32, "float32 through and through")
def float32_throughout(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / z.dtype.type(max(len(y), 1))


@right(FLOAT32, "float64 inside a float32 rule")
def float64_inside_float32(z: Array, y: Array) -> Array:
    wide = z.astype(np.float64)
    return ((softmax(wide) - one_hot(y, wide)) / max(len(y), 1)).astype(z.dtype)


@right(f.CROSS_ENTROPY, "labels given as one-hot rows")
def one_hot_given(z: Array, y: Array) -> Array:
    return (softmax(z) - y) / max(len(y), 1)


@right(f.CROSS_ENTROPY_SOFT, "labels that do not sum to one")
def soft_labels(z: Array, y: Array) -> Array:
    return (softmax(z) * y.sum(axis=1, keepdims=True) - y) / max(len(y), 1)


@right(f.NLL_KEPT, "ignored rows, cut out and put back")
def ignored_rows_cut_out(z: Array, y: Array) -> Array:
    gradient, kept = np.zeros_like(z), y >= 0
    gradient[kept] = (softmax(z[kept]) - one_hot(y[kept], z[kept])) / max(int(kept.sum()), 1)
    return gradient


@right(f.LOG_SOFTMAX, "einsum for the sum over classes")
def log_softmax_by_einsum(z: Array, cotangent: Array) -> Array:
    return cotangent - np.einsum("nk,nj->nk", softmax(z), cotangent)


@right(f.SOFTMAX.on(f.Z, cases=f.logits(**FEW)), "the whole Jacobian, entry by entry")
def jacobian_in_loops(z: Array, cotangent: Array) -> Array:
    a, gradient = softmax(z), np.zeros_like(z)
    for n, i in np.ndindex(z.shape):
        for j in range(z.shape[1]):
            gradient[n, i] += a[n, j] * ((i == j) - a[n, i]) * cotangent[n, j]
    return gradient


@right_anew(f.SOFTMAX, "a cache, keyed by all that the value depends on")
def cache_keyed_by_bytes() -> Pair:
    outputs: dict[tuple[tuple[int, ...], bytes], Array] = {}

    def vjp(z: Array, cotangent: Array) -> Array:
        a = outputs.setdefault((z.shape, z.tobytes()), softmax(z))
        return a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))

    return f.softmax, vjp


@right_anew(f.SOFTMAX.in_form("pullback"), "the pullback keeps the forward's values")
def values_kept_for_the_pullback() -> Pair:
    def forward_and_pullback(z: Array) -> tuple[Array, Function]:
        a = softmax(z)
        return a.copy(), lambda cotangent: a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))

    return f.softmax, forward_and_pullback


# --- layers -------------------------------------------------------------------------------------------------


@right(f.LINEAR, "outer products added row by row; the weight gradient in Fortran order")
def linear_row_by_row(h: Array, w: Array, b: Array, cotangent: Array) -> tuple[Array, Array, Array]:
    transposed = np.zeros(w.shape[::-1], dtype=w.dtype)
    for row, error in zip(h, cotangent, strict=True):
        transposed += np.outer(error, row)
    return cotangent @ w.T, transposed.T, np.ones(len(h)) @ cotangent


@right(f.PICK, "a one-hot matrix product adds up repeated indices")
def pick_by_matrix_product(table: Array, index: Array, cotangent: Array) -> Array:
    return (np.arange(len(table))[:, None] == index) @ cotangent


@right(f.TANH, "1 - tanh^2, which loses every digit far out and is right all the same")
def tanh_by_its_square(x: Array, cotangent: Array) -> Array:
    return cotangent * (1 - np.tanh(x) ** 2)


@right(f.SIGMOID, "a quarter of tanh' at half the argument")
def sigmoid_through_tanh(x: Array, cotangent: Array) -> Array:
    return cotangent * (0.25 * (1 - np.tanh(0.5 * x) ** 2))


@right(f.SIGMOID_BY_CASES, "a smooth function whose forward passes through abs")
def sigmoid_past_the_kink_of_abs(x: Array, cotangent: Array) -> Array:
    small = np.exp(-np.abs(x))
    return cotangent * small / (1 + small) ** 2


@right(f.LAYER_NORM, "pjreddie/darknet#29: the term that sums to zero is left out")
def layer_norm_without_the_zero_term(x: Array, cotangent: Array) -> Array:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    normalised = (x - x.mean(axis=-1, keepdims=True)) / deviation
    along = (cotangent * normalised).mean(axis=-1, keepdims=True)
    return (cotangent - cotangent.mean(axis=-1, keepdims=True) - normalised * along) / deviation


# --- kinks: any value between the one-sided derivatives -----------------------------------------------------


@right(f.RELU, "the half at 0")
def relu_half_at_zero(x: Array, cotangent: Array) -> Array:
    return cotangent * np.heaviside(x, 0.5)


@right(f.RELU, "1 at 0")
def relu_one_at_zero(x: Array, cotangent: Array) -> Array:
    return cotangent * (x >= 0)


@right(f.ROW_MAX, "Theano/Theano#5404: tied maxima share the cotangent")
def tied_maxima_share(x: Array, cotangent: Array) -> Array:
    top = x == x.max(axis=-1, keepdims=True)
    return top / top.sum(axis=-1, keepdims=True) * cotangent[:, None]


@right(f.ROW_MAX, "Theano/Theano#5404: the first of the tied maxima takes it all")
def first_tied_maximum_takes_all(x: Array, cotangent: Array) -> Array:
    gradient = np.zeros_like(x)
    gradient[np.arange(len(x)), x.argmax(axis=-1)] = cotangent
    return gradient
