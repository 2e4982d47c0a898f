r"""One form for everything that can be asked of softmax + NLL, so that each derivation stays a few lines.

All options change one of five things. With logits ``z`` and label weights ``y``, the row loss that the forms
differentiate is::

    s = c tanh(z / c) / T                   a cap c on the logits, a temperature T
    q = w ((1 - e) y + (e / K) sum_k y_k)   smoothing e, class weights w; 0 for a row to ignore
    r = -sum_k q_k log a_k + b lse^2        a = softmax(s),  lse = log sum_k exp(s_k),  b the z-loss

and what is returned is the mean of the rows, their sum, or the rows. The mean divides by the number of rows that
are not ignored, or with class weights by ``sum_ik w_k y_ik`` over them: by what the rows weigh, before smoothing.

**By s.** ``d log a_k / d s_i = [i = k] - a_i`` and ``d lse / d s_i = a_i``, hence with ``Q = sum_k q_k``::

    dr/ds_i = Q a_i - q_i + 2 b lse a_i

**By z.** The cap and the temperature act on each logit alone, so the chain rule is one factor an entry::

    ds/dz = (1 - tanh^2(z / c)) / T = sech^2(z / c) / T

The temperature divides logits *after* the row maximum is
subtracted, which softmax does not see: so however small it is, equal logits stay equal, and nothing overflows that
does not have to. The gradient is not multiplied by T or T^2: distillation's factor T^2 (Hinton, Vinyals and Dean,
2015) is the caller's.

**Where from.** Smoothing: Szegedy et al., 2016, sec. 7, for labels that sum to one; here a row keeps whatever sum it
has. z-loss: Chowdhery et al., *PaLM*, 2022, sec. 5. Cap: Gemma Team, *Gemma 2*, 2024, sec. 2. The mean by weights:
for class indices, that of PyTorch's ``cross_entropy``, which has become everybody's.

**Where PyTorch differs.** For label rows (N, K) its mean divides by N, with class weights too. Here it divides by what
the rows weigh, so that an index and its one-hot row are one label with one loss. And its smoothing adds ``e / K`` to
each class of a label row whatever the row sums to; here the sum is kept, so that a row of zeros still drops out. For
rows that sum to one the two are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gradcheck.derivations._arrays import Array, Pullback, is_concrete, widened
from gradcheck.derivations._labels import Labels, entry, read_labels, read_logits
from gradcheck.derivations._namespace import namespace
from gradcheck.derivations._reduction import reduce_rows
from gradcheck.derivations.softmax_nll._cap import Cap
from gradcheck.derivations.softmax_nll.options import OPTIONS, Options, check_index, check_number, check_taken

__all__ = ["Objective", "read_objective", "read_weights"]


@dataclass(frozen=True)
class Objective:
    """A loss with all of its options worked in: what a form computes with."""

    xp: ModuleType
    """The namespace of the arrays."""
    z: Array
    """Logits after the cap and before the temperature, shape (..., K), float32 or wider; 0 in ignored rows."""
    q: Array
    """Effective label weights, shape and dtype of `z`."""
    temperature: float
    z_loss: float
    kept: Array | None
    """False for the rows to ignore, shape (..., 1); None where all count."""
    slope: Array | None
    """``ds/dz``, shape of `z` or (); None where it is 1."""
    divisor: Any
    """What the mean divides by: a number, or an array of shape ()."""
    reduction: str
    dtype: np.dtype[Any]
    """Of the logits as they came, hence of the loss and its gradient."""

    def penalty(self, lse: Array) -> tuple[Any, Any]:
        """Return the rows' z-loss ``b lse^2`` and its derivative by ``lse``, shapes (..., 1), or zeros."""
        if not self.z_loss:
            return 0.0, 0.0
        return self.cleared(self.z_loss * lse * lse), self.cleared(2 * self.z_loss * lse)

    def cleared(self, x: Array) -> Array:
        """Return `x`, one number a row, with 0 for the rows to ignore."""
        if self.kept is None:
            return x
        cleared: Array = namespace(self.kept, x).where(self.kept, x, 0)
        return cleared

    def conclude(self, rows: Array, by_s: Callable[[], Array]) -> tuple[Array, Pullback]:
        """Reduce the row losses, shape (..., 1), and chain their gradients by ``s`` through to the logits."""
        loss, share = reduce_rows(rows[..., 0], self.reduction, self.dtype, self.divisor)

        def pullback(ct: npt.ArrayLike) -> Array:
            ds = by_s()
            # cleared, since an infinite cotangent of a row that is ignored would make NaN of its 0
            dz: Array = (ds if self.slope is None else ds * self.slope) * self.cleared(share(ct))
            return dz.astype(self.dtype, copy=False)

        return loss, pullback


def read_objective(form: str, z: npt.ArrayLike, y: npt.ArrayLike, options: Options) -> Objective:
    """Check logits, labels and the options of a form, and work the options in.

    Raises
    ------
    TypeError
        If the form does not take an option.
    ValueError
        If anything else is wrong with them: see `fused`.
    """
    check_taken(form, options)
    logits = read_logits(z, sequences="sequences" in OPTIONS[form])
    wide = widened(logits)
    numbers = _read_numbers(options, wide.dtype)
    labels = read_labels(y, wide.shape, wide.dtype, like=wide, ignore_index=check_index(options.get("ignore_index")))
    weights = read_weights(options.get("weights"), wide)
    if weights is not None and numbers.z_loss:
        raise ValueError(
            f"weights and z_loss={numbers.z_loss} at once: whether class weights scale the z-loss is not agreed on, "
            "so drop one, or add up two losses, of which the one with z_loss has labels that are rows of zeros"
        )
    xp = namespace(wide, labels.weights, weights)
    reduction = options.get("reduction", "mean")
    if weights is not None and reduction == "mean":
        weights = _to_size(xp, weights, labels.weights, numbers.smoothing)
    q, divisor = _effective(xp, labels, weights, numbers.smoothing, reduction)
    if labels.kept is not None:  # padding may hold anything, NaN too
        wide = xp.where(labels.kept, wide, 0)
    _check_masks(wide, q, labels.weights, numbers)
    capped, slope = _capped(xp, wide, numbers)
    T, b = numbers.temperature, numbers.z_loss
    return Objective(xp, capped, q, T, b, labels.kept, slope, divisor, reduction, logits.dtype)


def read_weights(weights: npt.ArrayLike | None, z: Array) -> Array | None:
    """Check class weights against logits `z`, shape (..., K), and return them in their dtype.

    Raises
    ------
    ValueError
        If they are not K finite real numbers, at least 0.
    """
    if weights is None:
        return None
    xp, k = namespace(z, weights), z.shape[-1]
    given: Array = namespace(weights).asarray(weights)
    if given.shape != (k,):
        raise ValueError(f"weights have shape {given.shape} and z {z.shape}: pass one for each of the K = {k} classes")
    if not (xp.issubdtype(given.dtype, xp.floating) or xp.issubdtype(given.dtype, xp.integer)):
        raise ValueError(f"weights have dtype {given.dtype}: pass real numbers, as in np.asarray(weights, float)")
    with np.errstate(over="ignore"):  # what a narrower dtype cannot hold is seen below
        cast: Array = xp.asarray(given, dtype=z.dtype)
    if is_concrete(cast) and (wrong := np.flatnonzero(~((cast >= 0) & (cast < np.inf)))).size:
        raise ValueError(
            f"weights[{wrong[0]}] = {given[wrong[0]]} is no class weight: pass numbers from 0 up that are finite in "
            f"{z.dtype}"
        )
    return cast


class _Numbers(NamedTuple):
    smoothing: float
    temperature: float
    z_loss: float
    cap: Cap


def _read_numbers(options: Options, dtype: np.dtype[Any]) -> _Numbers:
    return _Numbers(
        check_number("label_smoothing", options.get("label_smoothing", 0.0), dtype),
        check_number("temperature", options.get("temperature", 1.0), dtype),
        check_number("z_loss", options.get("z_loss", 0.0), dtype),
        Cap.read(options.get("softcap"), dtype),
    )


def _to_size(xp: ModuleType, weights: Array, y: Array, smoothing: float) -> Array:
    """Bring class weights, shape (K,), to about 1 for the mean, which does not change when all are multiplied.

    Neither do digits, by a power of two. Otherwise sums of weights near the largest float overflow, and so do shares of
    the cotangent by weights near the least. What counts is the largest weight of a class that has a label: another
    class may weigh so much more that these would vanish beside it. Without smoothing it plays no part; with it, its
    weight stays finite.
    """
    labelled = xp.any(y != 0, axis=tuple(range(y.ndim - 1)))
    if not smoothing:
        weights = xp.where(labelled, weights, 0)
    shift = 1 - xp.frexp(xp.max(xp.where(labelled, weights, 0)))[1]
    room = xp.finfo(weights.dtype).maxexp - xp.frexp(xp.max(weights))[1]
    sized: Array = xp.ldexp(weights, xp.minimum(shift, room))
    return sized


def _effective(
    xp: ModuleType, labels: Labels, weights: Array | None, smoothing: float, reduction: str
) -> tuple[Array, Any]:
    """Return the effective label weights, and what the mean divides by."""
    y, kept = labels
    q = y
    if smoothing:
        q = (1 - smoothing) * y + smoothing / y.shape[-1] * xp.sum(y, axis=-1, keepdims=True)
    if weights is None:
        return q, math.prod(y.shape[:-1]) if kept is None else xp.sum(kept)
    if reduction != "mean":  # the sum of huge weights, which nobody asks for, might overflow
        return q * weights, None
    divisor = xp.sum(y * weights)
    # smoothing may bring in classes that the divisor knows nothing of
    return xp.where(divisor > 0, q * weights, 0), divisor


def _check_masks(z: Array, q: Array, y: Array, numbers: _Numbers) -> None:
    """Refuse masks that the cap would undo, or smoothing make infinitely dear."""
    cap = numbers.cap.value
    if (cap is None and not numbers.smoothing) or not (is_concrete(z) and is_concrete(q)):
        return
    masked = np.isneginf(z)
    if cap is not None and masked.any():
        raise ValueError(
            f"{entry('z', np.argwhere(masked)[0])} = -inf and softcap={cap}: the cap would make {-cap} of a "
            "masked class, so cap the logits first and mask them then, without the option"
        )
    if numbers.smoothing and (dear := masked & (q != 0) & (y == 0)).any():
        raise ValueError(
            f"{entry('z', np.argwhere(dear)[0])} = -inf and label_smoothing={numbers.smoothing}: smoothing labels "
            "every class, masked ones too, whose loss is infinite: pass (N, K) labels, smoothed over the classes left"
        )


def _capped(xp: ModuleType, z: Array, numbers: _Numbers) -> tuple[Array, Array | None]:
    """Return the logits after the cap, and ``ds/dz``, None where it is 1."""
    temperature = numbers.temperature
    slope = numbers.cap.slope(z)
    if temperature != 1:
        slope = xp.asarray(1 / temperature, dtype=z.dtype) if slope is None else slope / temperature
    return numbers.cap.scores(z), slope
