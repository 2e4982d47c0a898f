"""Arrays of recorded numbers stand in for float64 arrays wherever NumPy's functions take them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.special  # type: ignore[import-untyped]  # it comes without types

from gradcheck.oracles.balls.values import exact, precision
from gradcheck.oracles.own_forward.array import Numbers
from gradcheck.oracles.own_forward.namespace import on_numbers
from gradcheck.oracles.own_forward.number import Number
from gradcheck.oracles.own_forward.program import points
from gradcheck.oracles.own_forward.tape import Tape

pytest.importorskip("flint")

Z = np.random.default_rng(3).normal(size=(4, 5))
ROWS = np.array([[0], [1], [2], [3]])


def make(array: np.ndarray[Any, Any], *, variable: bool = True) -> Any:
    tape = Tape(points(128))
    balls = exact(array)
    numbers = [Number(tape, ball, tape.variable() if variable else -1) for ball in balls.ravel()]
    made = np.empty(array.shape, dtype=object)
    made.ravel()[:] = numbers
    return made.view(Numbers)


def floats(result: Any) -> Any:
    """Turn a result of recorded numbers into floats."""
    if isinstance(result, (tuple, list)):
        return [floats(r) for r in result]
    as_float = np.frompyfunc(lambda x: float(x.ball) if isinstance(x, Number) else float(x), 1, 1)
    return np.asarray(as_float(np.asarray(result, dtype=object)), dtype=np.float64)


@pytest.fixture(autouse=True)
def bits() -> Iterator[None]:
    with precision(128):
        yield


EXPRESSIONS = """
np.array(z, dtype=int); np.zeros_like(z, dtype=float) + z; np.gradient(z, axis=0); np.empty_like(z, z.dtype).shape
1 / z[0, 0]; +z[0, 0]; z[0, 0].imag; np.logaddexp(z - np.inf, z - np.inf); np.frexp(0 * z)[1]
np.float64(z[0, 0, None].reshape(())); scipy.special.softmax(np.ones(3)); np.maximum(z * np.nan, 0)
np.floor(z * np.inf)
np.exp(z); -z; +z; abs(z); z**2; 2**z; abs(z)**0.5; z % 1; z // 1; 1 / z; z / z.sum(); z - z.max()
np.maximum(z, 0); np.minimum(0, z); np.clip(z, -0.5, 0.5); z.clip(-0.5, None); np.where(z > 0, z, 0.0)
np.fmax(z, 0); np.sum(z); z.sum(axis=1, keepdims=True); np.sum(z, axis=(0, 1)); np.sum(z, dtype=np.float64)
z[:0].sum(); np.nansum(z); np.mean(z); z.mean(axis=0); np.var(z, axis=1, ddof=1); z.std(); np.prod(z, axis=1)
np.average(z, weights=[1, 2, 3, 4], axis=0); np.max(z, axis=(0, 1)); z.max(axis=1, keepdims=True); np.min(z)
np.ptp(z, axis=1); np.median(z, axis=1); np.quantile(z, 0.3, axis=0); np.logaddexp(z, 0)
np.logaddexp.reduce(z, axis=1); np.add.accumulate(z); np.multiply.outer(z[0], z[1]); np.add.reduceat(z[0], [0, 2])
np.linalg.norm(z); np.linalg.norm(z, axis=1, keepdims=True); np.linalg.norm(z, 1, axis=1)
np.linalg.norm(z, np.inf, axis=1); z @ z.T; z.dot(z.T); np.ones((2, 4)) @ z; np.inner(z[0], z[1]); np.vdot(z, z)
np.outer(z[0], z[1]); np.kron(z[0], z[1]); np.tensordot(z, z, axes=([1], [1])); np.einsum("ij,kj->ik", z, z)
np.einsum("ij,ij->", z, z, optimize=True); np.trace(z[:4, :4]); np.take_along_axis(z, ROWS, axis=1)
np.argmax(z, axis=1); z.argmax(); z.argsort(axis=1); np.sort(z, axis=1); np.partition(z, 2)
np.stack([z[0], z[1]]); np.concatenate([z, np.ones((1, 5))]); np.vstack([z, z]); np.pad(z, 1); np.tile(z, 2)
np.repeat(z, 2, axis=0); np.diff(z); np.cumsum(z, axis=1); np.convolve(z[0], np.ones(2)); np.trapezoid(z)
np.roll(z, 1); np.flip(z); np.triu(z); np.diag(z[:4, :4]); np.array_split(z, 2); z.reshape(-1).tolist()
z.flatten(); z.T.copy(); np.squeeze(z[:1]); z[..., None]; np.broadcast_to(z[0], (3, 5)); z[z < 0]
z[np.arange(4), [0, 1, 2, 3]]; z[1, 2]; z[::-1, ::2]; np.select([z > 0], [z], -z); np.choose([0, 1, 2, 3, 0], z)
np.apply_along_axis(lambda r: r / r.sum(), 1, z); np.vectorize(lambda v: v * v)(z)
np.piecewise(z, [z < 0], [lambda v: -v, lambda v: v]); np.zeros_like(z); np.full_like(z, 2); np.ones_like(z) * z
np.log(z, out=np.zeros_like(z), where=z > 0); np.nan_to_num(z); np.isfinite(z).all(); np.any(z > 1)
np.count_nonzero(z > 0); np.isclose(z, z).all(); np.allclose(z, z); np.array_equal(z, z); (z > 0).sum()
np.float64(2) * z[0, 0]; z[0, 0] * np.float64(2); np.ones(3) * z[0, 0]; np.array(2.0) * z[0, 0]; np.exp(z[0, 0])
z[0, 0].mean(); np.sum([z[0, 0], z[1, 1]]); sum(z[0]); max(z[0]); min(z[0], key=abs); np.finfo(z.dtype).eps
np.result_type(z) == np.float64; z.astype(np.float64).astype(float); z.astype(int); np.zeros(3, z.dtype)
np.shape(z[0, 0]); np.ndim(z[0, 0]); z.size; len(z); z.ndim; np.zeros(5) + z; np.array([z[0, 0], 1.0])
np.asarray(z, dtype=np.float64); np.asarray(z.tolist()); float(z[0, 0]) + 1; np.float64(z[0, 0]); np.sinc(z)
np.unique(z); np.searchsorted(np.sort(z[0]), 0.0); np.hypot(z, 1); np.copysign(z, -1)
np.cross(z[:, :3], z[::-1, :3]); scipy.special.logsumexp(z, axis=1); scipy.special.logsumexp(z, b=np.abs(z))
scipy.special.softmax(z, axis=1); scipy.special.log_softmax(z, axis=1); scipy.special.expit(z)
scipy.special.gammaln(abs(z)); scipy.special.erf(z); np.round(z); int(z[0, 0] * 10); z[0, 0] // 1; z[0, 0] % 1
z[0, 0] ** 2; 2 ** z[0, 0]; 1 - z[0, 0]; np.lib.stride_tricks.sliding_window_view(z, (2, 2)).sum(axis=(-1, -2))
np.interp(0.5, [0, 1], [0, 1]); z.real; z[0, 0].item(); z.ravel()[0]
"""


@pytest.mark.parametrize("expression", [e.strip() for e in EXPRESSIONS.replace("\n", ";").split(";") if e.strip()])
def test_an_expression_has_numpys_value(expression: str) -> None:
    names = {"np": np, "scipy": scipy, "ROWS": ROWS}
    function: Callable[[Any], Any] = eval(f"lambda z: {expression}", names)
    expected = function(Z.copy())
    found = on_numbers(function)(make(Z))
    np.testing.assert_allclose(floats(found), floats(expected), rtol=1e-13)
    if isinstance(found, np.ndarray) and np.ndarray.dtype.__get__(found) == np.dtype(object):
        assert isinstance(found, Numbers)  # a plain array would miss the next function


def test_assignment_in_place_and_at() -> None:
    def forward(z: Any) -> Any:
        out = np.empty(z.shape)
        out[...] = z
        out[0] = 1.0
        out[1, z[1] < 0] = 0
        out -= out.mean(axis=0)
        np.exp(out, out=out)
        np.add.at(out, (np.array([0, 0]), np.array([1, 1])), z[2, 3])
        np.fill_diagonal(out, 7.0)
        np.copyto(out, z, where=z > 1)
        out[:, 4] /= 2
        return out

    np.testing.assert_allclose(floats(on_numbers(forward)(make(Z))), forward(Z.copy()), rtol=1e-14)


def test_comparisons_give_arrays_of_bool() -> None:
    z = make(Z)
    for mask in (z > 0, z == z, np.isnan(z), np.logical_and(z > 0, z < 1)):
        assert type(mask) is np.ndarray
        assert mask.dtype == np.dtype(bool)
    assert (z[0, 0] > 0) is bool(Z[0, 0] > 0)


def test_a_copy_of_a_number_is_the_number() -> None:
    z = make(Z)
    assert copy.deepcopy(z)[0, 0].tape is z[0, 0].tape
    assert copy.copy(z[0, 0]) is z[0, 0]


def test_numbers_and_arrays_can_be_printed() -> None:
    z = make(np.array([0.5, 2.0]))
    assert (repr(z[0]), f"{z[1]:.1f}", str(z)) == ("0.5", "2.0", "array([0.5, 2])")


def test_a_number_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(make(Z)[0, 0])


def test_data_are_python_floats_where_they_are_exact_and_inputs_never() -> None:
    data, inputs = make(np.array([0.1]), variable=False), make(np.array([0.1]))
    assert float(data[0]) == 0.1
    assert int(make(np.array([-2.5]), variable=False)[0]) == -2
    with pytest.raises(TypeError, match="rounded to a Python float"):
        float(np.exp(data)[0])
    with pytest.raises(TypeError, match="cannot say how it depends"):
        float(inputs[0])


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda z: np.add(z, 1.0, out=np.zeros(z.shape)), "cannot say how it depends"),
        (lambda z: np.nextafter(z, 1.0), "'nextafter' is not among the functions"),
        (lambda z: z + "a", "add of Number and str is not defined"),
        (lambda z: z.astype(complex), "cannot say how it depends|must be a number|float"),
        (lambda z: z[0] + [1.0], "unsupported operand"),
    ],
    ids=["float64 out", "no such function", "text", "complex", "list"],
)
def test_what_would_lose_the_dependence_is_refused(action: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        action(make(np.array([0.5, 2.0])))
