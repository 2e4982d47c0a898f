"""Wrong gradients of normalisation layers: layer norm, batch norm, RMS norm."""

from __future__ import annotations

import numpy as np

from . import norms
from .norms import EPSILON, along, standardised
from .specimen import EVERYWHERE, ORDINARY, Array, wrong

Triple = tuple[Array, Array, Array]


@wrong(norms.LAYER_NORM, "norm layers", "tenstorrent/tt-metal#53204: the mean subtracted twice", ORDINARY)
def mean_subtracted_twice(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    error = cotangent * gain
    below = along(x_hat, deviation, error, -1) - error.mean(axis=-1, keepdims=True) / deviation
    return below, (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(norms.BATCH_NORM, "norm layers", "KonduitAI/deeplearning4j#41: mean and variance held constant", ORDINARY)
def mean_and_variance_held_constant(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, 0)
    return cotangent * gain / deviation, (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(norms.BATCH_NORM, "norm layers", "denizyuret/Knet.jl#288: the gain left out below", ORDINARY)
def gain_left_out_below(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, 0)
    return along(x_hat, deviation, cotangent, 0), (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(norms.LAYER_NORM, "norm layers", "pyg-team/pytorch_geometric#2917: epsilon beside the root", EVERYWHERE)
def epsilon_outside_the_root(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    deviation = x.std(axis=-1, keepdims=True) + EPSILON
    x_hat = (x - x.mean(axis=-1, keepdims=True)) / deviation
    return along(x_hat, deviation, cotangent * gain, -1), (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(norms.BATCH_NORM, "norm layers", "pytorch/pytorch#3122: one variance by N, the other by N - 1", EVERYWHERE)
def variance_by_rows_less_one(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    variance = ((x - x.mean(axis=0)) ** 2).sum(axis=0) / max(len(x) - 1, 1)
    deviation = np.sqrt(variance + EPSILON)
    x_hat = (x - x.mean(axis=0)) / deviation
    return along(x_hat, deviation, cotangent * gain, 0), (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(norms.LAYER_NORM, "norm layers", "Oneflow-Inc/oneflow#6149: gradients of gain and bias swapped", ORDINARY)
def gain_and_bias_swapped(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    return along(x_hat, deviation, cotangent * gain, -1), cotangent.sum(axis=0), (cotangent * x_hat).sum(axis=0)


@wrong(norms.BATCH_NORM, "norm layers", "parasdahal/deepnet#11: statistics along the wrong axis", ORDINARY)
def statistics_along_the_features(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    return along(x_hat, deviation, cotangent * gain, -1), (cotangent * x_hat).sum(axis=0), cotangent.sum(axis=0)


@wrong(
    norms.BATCH_NORM,
    "norm layers",
    "wjbKimberly/cs231n_spring_2017_assignment#7: a mean proposed for the sum",
    ORDINARY,
)
def gain_gradient_averaged(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, 0)
    below = along(x_hat, deviation, cotangent * gain, 0)
    return below, (cotangent * x_hat).mean(axis=0), cotangent.sum(axis=0)


SQUARE = norms.LAYER_NORM.on(norms.X4, norms.GAIN, norms.BIAS, cases=norms.SQUARE_CASES)


@wrong(SQUARE, "norm layers", "Oneflow-Inc/oneflow#10561: how gain gradients are added up", ORDINARY)
def gain_gradient_along_the_features(x: Array, gain: Array, bias: Array, cotangent: Array) -> Triple:
    x_hat, deviation = standardised(x, -1)
    return along(x_hat, deviation, cotangent * gain, -1), (cotangent * x_hat).sum(axis=-1), cotangent.sum(axis=0)


def _rms(x: Array) -> Array:
    return np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPSILON)


@wrong(norms.RMS_NORM, "norm layers", "NVIDIA/Megatron-LM#6859: the gain twice in the variance term", ORDINARY)
def gain_twice_in_the_variance_term(x: Array, gain: Array, cotangent: Array) -> tuple[Array, Array]:
    size, error = _rms(x), cotangent * gain
    below = error / size - gain * x * (error * x).mean(axis=-1, keepdims=True) / size**3
    return below, (cotangent * x / size).sum(axis=0)


@wrong(norms.RMS_NORM, "norm layers", "karpathy/llm.c#763: the gain forgotten in the inner sum", ORDINARY)
def gain_forgotten_in_the_inner_sum(x: Array, gain: Array, cotangent: Array) -> tuple[Array, Array]:
    size = _rms(x)
    below = cotangent * gain / size - x * (cotangent * x).mean(axis=-1, keepdims=True) / size**3
    return below, (cotangent * x / size).sum(axis=0)


@wrong(norms.PRE_NORM, "norm layers", "Dao-AILab/quack#53: the residual goes through the norm too", EVERYWHERE)
def residual_sent_through_the_norm(x: Array, gain: Array, cotangent: Array) -> tuple[Array, Array]:
    size, error = _rms(x), 2 * cotangent * gain
    below = error / size - x * (error * x).mean(axis=-1, keepdims=True) / size**3
    return below, (cotangent * x / size).sum(axis=0)
