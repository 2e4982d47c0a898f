"""Gradients derived by hand, each with its derivation in the docstring.

Every function here is a rule: ``rule(*primals, *data, **options) -> (out, pullback)``, where
``pullback(cotangent)`` returns one cotangent per primal, with that primal's shape and dtype (a bare array
where there is one primal, else a tuple; a dict for a dict of parameters). A pullback may be called any number
of times, arguments are never written to, and results share memory with nothing. The code is NumPy, and the
same code runs on ``jax.numpy`` arrays, under ``jax.jit`` too, where only shapes and dtypes can be checked.
"""

from gradcheck.derivations import softmax_nll
from gradcheck.derivations.activations import gelu, relu, sigmoid, silu, tanh
from gradcheck.derivations.binary_cross_entropy import binary_cross_entropy
from gradcheck.derivations.distillation import distillation
from gradcheck.derivations.embedding import embedding
from gradcheck.derivations.focal_loss import focal_loss
from gradcheck.derivations.init import init_params
from gradcheck.derivations.l2 import l2_penalty
from gradcheck.derivations.linear import linear, linear_of_data
from gradcheck.derivations.mlp import mlp, mlp_logits
from gradcheck.derivations.normalization import batch_norm, layer_norm, rms_norm
from gradcheck.derivations.sigmoid_cross_entropy import sigmoid_cross_entropy

__all__ = [
    "batch_norm",
    "binary_cross_entropy",
    "distillation",
    "embedding",
    "focal_loss",
    "gelu",
    "init_params",
    "l2_penalty",
    "layer_norm",
    "linear",
    "linear_of_data",
    "mlp",
    "mlp_logits",
    "relu",
    "rms_norm",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax_nll",
    "tanh",
]
