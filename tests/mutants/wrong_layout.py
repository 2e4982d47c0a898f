"""Gradients that are right for arrays in C order and wrong for the same numbers laid out otherwise.

NumPy hides the layout from whoever does not ask; these ask, as a kernel does that gets a pointer. None reads or
writes outside the memory of the array it is given.
"""

from __future__ import annotations

import numpy as np

from . import forwards as f
from .forwards import one_hot, softmax
from .specimen import CORNER, Array, wrong


def _memory(array: Array) -> Array:
    """Return the numbers of the memory that an array is a view of, from its beginning, in the array's shape."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    numbers = np.ravel(owner, order="K")[: array.size]
    return np.pad(numbers, (0, array.size - len(numbers))).reshape(array.shape)  # beyond the end it finds zeros


@wrong(
    f.NLL_EACH,
    "layout",
    "ROCm/TransformerEngine#623: one value a row read from a cotangent of stride 0",
    CORNER,
    "layout",
)
def cotangent_of_stride_zero_read_past_its_end(z: Array, y: Array, cotangent: Array) -> Array:
    values = _memory(cotangent) if cotangent.strides == (0,) else cotangent
    return (softmax(z) - one_hot(y, z)) * values[:, None]


@wrong(f.TANH, "layout", "pytorch/pytorch#194719: a cotangent assumed contiguous", CORNER, "layout")
def cotangent_assumed_contiguous(x: Array, cotangent: Array) -> Array:
    return _memory(cotangent) * (1 - np.tanh(x) ** 2)


@wrong(f.SOFTMAX, "layout", "pymc-devs/pymc#8: C and Fortran order mixed up, gradients permuted", CORNER, "layout")
def logits_in_the_order_of_memory(z: Array, cotangent: Array) -> Array:
    a = softmax(z.ravel(order="K").reshape(z.shape))
    return a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))


@wrong(f.TANH, "layout", "ml-explore/mlx#3720: negative strides taken for contiguous", CORNER, "layout")
def reversed_cotangent_read_forwards(x: Array, cotangent: Array) -> Array:
    contiguous = tuple(np.abs(cotangent.strides)) == np.empty_like(cotangent, order="C").strides
    return (_memory(cotangent) if contiguous else cotangent) * (1 - np.tanh(x) ** 2)


@wrong(
    f.SOFTMAX,
    "layout",
    "Dao-AILab/flash-attention#355: the result depends on the cotangent's strides",
    CORNER,
    "layout",
)
def result_filled_in_the_order_of_memory(z: Array, cotangent: Array) -> Array:
    a = softmax(z)
    answer = a * (cotangent - (a * cotangent).sum(axis=-1, keepdims=True))
    result = np.empty_like(cotangent)  # in the order of the cotangent
    result.ravel(order="K")[...] = answer.ravel()
    return result.copy()


@wrong(
    f.TANH,
    "layout",
    "pytorch/pytorch#23063: an output of stride 0, where the last write wins",
    CORNER,
    "layout",
)
def written_through_stride_zero(x: Array, cotangent: Array) -> Array:
    own = np.zeros(x.shape)
    strides = [0 if like == 0 else stride for like, stride in zip(cotangent.strides, own.strides, strict=True)]
    result = np.lib.stride_tricks.as_strided(own, x.shape, strides)
    result[...] = cotangent * (1 - np.tanh(x) ** 2)
    return result.copy()


SQUARE = f.MATMUL.on(f.H[:3], f.W, cases=f.like(f.H[:3], f.W))


@wrong(
    SQUARE,
    "layout",
    "huggingface/candle#3735: the gradients of a transposed kernel are not those of its copy",
    CORNER,
    "layout",
)
def fortran_order_taken_for_transposed(h: Array, w: Array, cotangent: Array) -> tuple[Array, Array]:
    transposed = h.flags.f_contiguous and not h.flags.c_contiguous
    return cotangent @ w.T, (h if transposed else h.T) @ cotangent


@wrong(f.ROW_SUM, "layout", "sonots/cumo#305: on a reversed view, the wrong element", CORNER, "layout")
def rows_of_a_reversed_cotangent_swapped(x: Array, cotangent: Array) -> Array:
    backwards = cotangent.size > 0 and cotangent.strides[0] < 0
    return np.repeat((cotangent[::-1] if backwards else cotangent)[:, None], x.shape[-1], axis=1)
