r"""Softmax followed by the negative log-likelihood, differentiated by hand in the ways people write it.

Notation. A row of logits ``z``, shape (K,), passes through softmax, ``a_k = exp(z_k) / sum_j exp(z_j)``, and
meets label weights ``y``, shape (K,)::

    C = -sum_k y_k log a_k                                     with 0 log 0 = 0

Over a batch, ``z`` has shape (N, K) and the rows' losses are averaged, added, or left apart. The forms of this
loss take the same arguments, return the same loss and the same gradient up to rounding, and differ in the route.
Class weights, ignored rows, smoothing, temperature, z-loss, a cap on the logits, sequences: `OPTIONS` says which
form takes what, `fused` what each means, and `gradcheck.derivations.softmax_nll.objective` how all of them come
down to the derivation below.

**The Jacobian of softmax.** ``log a_k = z_k - log sum_j exp(z_j)``, so ``d log a_k / d z_i = [i = k] -
a_i``, and by ``d a_k = a_k d log a_k``::

    J_ki = d a_k / d z_i = a_k ([i = k] - a_i),   that is   J = diag(a) - a a^T

(Bishop, *Pattern Recognition and Machine Learning*, 2006, eq. 4.106). J is symmetric, and no entry of it is
zero: every logit moves every output, because the outputs share one sum.

**The gradient.** ``g_k = dC/da_k = -y_k / a_k``. Reverse mode multiplies by the transposed Jacobian
(Griewank and Walther, *Evaluating Derivatives*, 2nd ed. 2008, ch. 3)::

    dC/dz_i = sum_k J_ki g_k = a_i g_i - a_i sum_k a_k g_k     the contracted form
            = -y_i + a_i sum_k y_k                             since a_k g_k = -y_k
            = a_i - y_i                                        where the weights y sum to one

(Bishop, eq. 4.109; Goodfellow, Bengio and Courville, *Deep Learning*, 2016, 6.2.2.3).

**The value sees one neuron, the gradient all of them.** For one-hot `y` with label l the sum has a single
term, ``C = -log a_l``, and ``g`` a single entry. To conclude that only neuron l learns is the classic
mistake: ``g_l`` returns through *row l of J*, which is full. The logit of a class i != l enters C through
the denominator of ``a_l``, with ``dC/dz_i = a_i > 0``: the loss falls when a competitor falls. Only the
*sum* of the gradient over a row, ``sum_i (a_i - y_i) = 0``, is fixed, because a common offset of the logits
changes nothing.

**Arithmetic.** The row maximum is subtracted first; ``a`` is the same, the largest exponential is 1, and
neither large logits nor offsets overflow. Rounding is done in the dtype of `z`, in float32 for anything
narrower.

**Domain.** A row needs a finite maximum; logits of -inf are masked classes (``a_k = 0``), and a label on one
has loss +inf. NaN logits give NaN. The two-stage forms divide by ``a_k`` and take its logarithm, which is
undefined once it underflows: where ``y_k != 0``, they need ``a_k >= tiny``, the smallest normal number.
Since ``a_k <= exp(z_k - max z)``, that ends where the row maximum is ``-log(tiny)`` above the label's logit,
about 708 for float64 and 87 for float32, less the logarithm of the sum of the shifted exponentials, which is
between 1 and K. They raise beyond it. Under ``jax.jit``, where values cannot be seen, they give ``inf`` or
NaN there; and since XLA flushes subnormal numbers to zero, the products ``a_i a_k`` of the full Jacobian are
lost to it a little earlier. The other forms have no such limit.

**Memory.** All of these hold several arrays as large as the logits. `streaming` goes over blocks of classes and holds a
block; `fused_linear` takes the layer below along and never holds the logits either; `sharded` has the classes in
shards, as trainers over several devices do, and shows what must go between them. They take class indices only.
"""

from __future__ import annotations

from gradcheck.derivations.softmax_nll.accurate import accurate
from gradcheck.derivations.softmax_nll.fused_linear import fused_linear
from gradcheck.derivations.softmax_nll.one_stage import fused, log_softmax
from gradcheck.derivations.softmax_nll.options import OPTIONS
from gradcheck.derivations.softmax_nll.sharded import sharded
from gradcheck.derivations.softmax_nll.streaming import streaming
from gradcheck.derivations.softmax_nll.two_stage import contracted_jacobian, full_jacobian

__all__ = [
    "OPTIONS",
    "accurate",
    "contracted_jacobian",
    "full_jacobian",
    "fused",
    "fused_linear",
    "log_softmax",
    "sharded",
    "streaming",
]
