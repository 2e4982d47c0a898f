"""Wrong gradients of what may be done to the logits: temperature, z-loss, soft cap, masked classes."""

from __future__ import annotations

import numpy as np

from . import losses
from .forwards import Y, one_hot, softmax
from .losses import CAP, IGNORED, TEMPERATURE, Z_LOSS, capped, logsumexp
from .specimen import CORNER, EVERYWHERE, ORDINARY, Array, wrong

# --- temperature --------------------------------------------------------------------------------------------


@wrong(
    losses.TEMPERED,
    "temperature",
    "EFS-OpenSource/calibration-framework#13: times T where it should be over T",
    EVERYWHERE,
)
def temperature_multiplied(z: Array, y: Array) -> Array:
    return TEMPERATURE * (softmax(z / TEMPERATURE) - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.TEMPERED, "temperature", "huggingface/transformers#12299: the T^2 of distillation", EVERYWHERE)
def temperature_squared(z: Array, y: Array) -> Array:
    return TEMPERATURE**2 * (softmax(z / TEMPERATURE) - one_hot(y, z)) / TEMPERATURE / max(len(y), 1)


@wrong(losses.TEMPERED, "temperature", "lancopku/DynamicKD#1: probabilities at temperature 1", ORDINARY)
def temperature_missing_in_the_softmax(z: Array, y: Array) -> Array:
    return (softmax(z) - one_hot(y, z)) / TEMPERATURE / max(len(y), 1)


@wrong(losses.TEMPERED, "temperature", "ServiceNow/Fast-LLM#228: scaled before y is subtracted", EVERYWHERE)
def temperature_scales_only_the_probabilities(z: Array, y: Array) -> Array:
    return (softmax(z / TEMPERATURE) / TEMPERATURE - one_hot(y, z)) / max(len(y), 1)


# --- z-loss and soft cap ------------------------------------------------------------------------------------


def _with_z_loss(z: Array, y: Array, slope: Array) -> Array:
    return (softmax(z) * (1 + slope) - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.WITH_Z_LOSS, "z-loss and soft cap", "apple/ml-cross-entropy#43: lse carries no gradient", ORDINARY)
def z_loss_without_gradient(z: Array, y: Array) -> Array:
    return _with_z_loss(z, y, np.zeros((len(z), 1)))


@wrong(losses.WITH_Z_LOSS, "z-loss and soft cap", "NVIDIA/TransformerEngine#2707: 1 + 2 w lse", ORDINARY)
def z_loss_without_factor_two(z: Array, y: Array) -> Array:
    return _with_z_loss(z, y, Z_LOSS * logsumexp(z)[:, None])


@wrong(losses.WITH_Z_LOSS, "z-loss and soft cap", "linkedin/Liger-Kernel#239: 2 w lse a", ORDINARY)
def z_loss_without_the_lse(z: Array, y: Array) -> Array:
    return _with_z_loss(z, y, np.full((len(z), 1), 2 * Z_LOSS))


@wrong(losses.WITH_Z_LOSS, "z-loss and soft cap", "pytorch/pytorch#195829: a common offset is lost", ORDINARY)
def z_loss_of_the_shifted_logits(z: Array, y: Array) -> Array:
    shifted = z - z.max(axis=1, keepdims=True)
    return _with_z_loss(z, y, 2 * Z_LOSS * logsumexp(shifted)[:, None])


@wrong(
    losses.WITH_Z_LOSS_IGNORING,
    "z-loss and soft cap",
    "allenai/OLMo-core#702: a z-loss that should not be there, here of ignored rows",
    ORDINARY,
)
def z_loss_of_ignored_rows(z: Array, y: Array) -> Array:
    kept = (y != IGNORED)[:, None]
    error = softmax(z) - one_hot(np.where(y == IGNORED, 0, y), z)
    return (error * kept + 2 * Z_LOSS * logsumexp(z)[:, None] * softmax(z)) / np.maximum(kept.sum(), 1)


@wrong(losses.CAPPED, "z-loss and soft cap", "openxla/tokamax#1121: a vjp without the cap's slope", ORDINARY)
def cap_slope_forgotten(z: Array, y: Array) -> Array:
    return (softmax(capped(z)) - one_hot(y, z)) / max(len(y), 1)


@wrong(
    losses.CAPPED,
    "z-loss and soft cap",
    "Dao-AILab/flash-attention#1033: 1 - s^2 of the capped s, which is c tanh, not tanh",
    ORDINARY,
)
def cap_slope_from_the_capped_logit(z: Array, y: Array) -> Array:
    return (softmax(capped(z)) - one_hot(y, z)) * (1 - capped(z) ** 2) / max(len(y), 1)


@wrong(losses.CAPPED, "z-loss and soft cap", "trymirai/lalamo#275: tanh of twice the argument", ORDINARY)
def cap_slope_at_twice_the_logit(z: Array, y: Array) -> Array:
    return (softmax(capped(z)) - one_hot(y, z)) * (1 - np.tanh(2 * z / CAP) ** 2) / max(len(y), 1)


@wrong(losses.CAPPED, "z-loss and soft cap", "unslothai/unsloth-zoo#593: z tanh(z / c) capped", ORDINARY)
def cap_multiplies_the_logit(z: Array, y: Array) -> Array:
    t = np.tanh(z / CAP)
    return (softmax(capped(z)) - one_hot(y, z)) * (t + z / CAP * (1 - t**2)) / max(len(y), 1)


@wrong(
    losses.CAPPED_AND_TEMPERED,
    "z-loss and soft cap",
    "huggingface/trl#5691: cap and scale in the other order",
    ORDINARY,
)
def cap_slope_after_the_temperature(z: Array, y: Array) -> Array:
    slope = 1 - np.tanh(z / TEMPERATURE / CAP) ** 2
    return (softmax(capped(z) / TEMPERATURE) - one_hot(y, z)) * slope / TEMPERATURE / max(len(y), 1)


# --- mask: classes whose logit is -inf ----------------------------------------------------------------------


@wrong(losses.MASKING, "mask", "allenai/allennlp#890: -inf minus -inf is NaN", CORNER)
@np.errstate(over="ignore", invalid="ignore")
def masked_classes_subtracted(z: Array, y: Array) -> Array:
    a = 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)
    return (a - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.MASKING, "mask", "tensorflow/tensorflow#11756: 0 times an infinite mask is NaN", CORNER)
@np.errstate(invalid="ignore")
def mask_multiplied(z: Array, y: Array) -> Array:
    mask = np.where(np.isneginf(z), -np.inf, 1.0)
    return (softmax(z) - one_hot(y, z)) * mask / max(len(y), 1)


@wrong(losses.MASKING, "mask", "CSSLab/maia2#14: masked to a logit of 0, which has a probability", CORNER)
def masked_logits_set_to_zero(z: Array, y: Array) -> Array:
    return (softmax(np.where(np.isneginf(z), 0.0, z)) - one_hot(y, z)) / max(len(y), 1)


FLOOR = -103.28  # log 1e-45


@wrong(
    losses.MASKING.on(losses.MASKED - 300, Y),
    "mask",
    "allenai/allennlp#893: log(1e-45) for log 0, wrong where all logits are very negative",
    CORNER,
)
def masked_logits_floored(z: Array, y: Array) -> Array:
    return (softmax(np.where(np.isneginf(z), FLOOR, z)) - one_hot(y, z)) / max(len(y), 1)


LEADING = np.array([[-np.inf, -np.inf, 0.4, 1.2], [0.5, 0.3, -np.inf, -0.2]])


@wrong(
    losses.MASKING.on(LEADING, np.array([3, 0])),
    "mask",
    "tracel-ai/burn#4697: a running maximum of -inf subtracted from -inf",
    CORNER,
)
@np.errstate(invalid="ignore")
def masked_classes_first_in_the_row(z: Array, y: Array) -> Array:
    top, total = z[:, 0].copy(), np.ones(len(z))
    for column in z.T[1:]:
        higher = np.maximum(top, column)
        total = total * np.exp(top - higher) + np.exp(column - higher)
        top = higher
    return (np.exp(z - top[:, None]) / total[:, None] - one_hot(y, z)) / max(len(y), 1)


@wrong(losses.MASKING, "mask", "pytorch/pytorch#131060: what a wholly masked row gets", CORNER)
def one_masked_class_silences_its_row(z: Array, y: Array) -> Array:
    silent = z.min(axis=1, keepdims=True) == -np.inf
    return np.where(silent, 0.0, softmax(z) - one_hot(y, z)) / max(len(y), 1)
