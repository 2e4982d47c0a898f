"""Which form takes which option, and what is refused, in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.derivations import softmax_nll
from gradcheck.derivations.softmax_nll.options import KEYWORDS

FORMS = {name: getattr(softmax_nll, name) for name in ("log_softmax", "fused", "accurate")}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)

NORMAL = np.random.default_rng(20240520).standard_normal
Z = 2 * NORMAL((6, 5))
INDICES = np.array([2, 0, 4, 2, 1, 0])
IGNORED = np.array([2, -100, 4, -100, -100, 0])
SOFT = np.abs(NORMAL((6, 5))) * np.array([[1.0], [0.0], [3.0], [0.25], [1.0], [1.0]])
MASKED = np.where(np.eye(6, 5, 1, dtype=bool) & (INDICES[:, None] != np.arange(5)), -np.inf, Z)
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 4.0])
SEQUENCES = 2 * NORMAL((2, 3, 5))
# Of two evaluations of a loss of 6 rows of 5 classes, logits up to 6 in size: u |z| from the shift, 4 u from exp and
# log, (5 + 6) u from the sums, twice; a loss is at least 1/4 of its largest part here.
ROUNDING = 4 * (6 + 4 + 5 + 6) * float(np.finfo(float).eps)

REFUSED: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "reduction": (Z, INDICES, {"reduction": "avg"}, "reduction='avg' is unknown"),
    "weights for too few": (Z, INDICES, {"weights": [1.0]}, r"weights have shape \(1,\) and z \(6, 5\): pass one for"),
    "negative weight": (Z, INDICES, {"weights": [1, 1, -2, 1, 1]}, r"weights\[2\] = -2 is no class weight: pass"),
    "NaN weight": (Z, INDICES, {"weights": [1, 1, np.nan, 1, 1]}, r"weights\[2\] = nan is no class weight"),
    "wide weight": (
        Z.astype(np.float32),
        INDICES,
        {"weights": [1e300] * 5},
        r"weights\[0\] = 1e\+300 is no class weight: .* finite in float32",
    ),
    "weights of text": (Z, INDICES, {"weights": ["a"] * 5}, "weights have dtype <U1: pass real numbers"),
    "ignore_index half": (Z, INDICES, {"ignore_index": 0.5}, r"ignore_index=0\.5: pass an integer, the label of"),
    "ignore_index bool": (Z, INDICES, {"ignore_index": True}, "ignore_index=True: pass an integer"),
    "ignore_index of soft labels": (
        Z,
        SOFT,
        {"ignore_index": -100},
        r"ignore_index=-100 and y of shape \(6, 5\): .* weights of zero",
    ),
    "another label": (Z, IGNORED, {"ignore_index": -1}, r"y\[1\] = -100 is no class of z.*that ignore_index names"),
    "smoothing above 1": (Z, INDICES, {"label_smoothing": 1.5}, r"label_smoothing=1\.5: pass a number from 0 to 1"),
    "smoothing below 0": (Z, INDICES, {"label_smoothing": -0.1}, r"label_smoothing=-0\.1: pass a number"),
    "smoothing NaN": (Z, INDICES, {"label_smoothing": np.nan}, "label_smoothing=nan: pass a number"),
    "smoothing bool": (Z, INDICES, {"label_smoothing": True}, "label_smoothing=True: pass a number"),
    "temperature 0": (Z, INDICES, {"temperature": 0}, "temperature=0: pass a finite number above 0"),
    "temperature text": (Z, INDICES, {"temperature": "1"}, "temperature='1': pass a finite number above 0"),
    "temperature inf": (Z, INDICES, {"temperature": np.inf}, "temperature=inf: pass a finite number above 0"),
    "temperature lost": (
        Z.astype(np.float32),
        INDICES,
        {"temperature": 1e-50},
        "temperature=1e-50 is outside the normal numbers of float32",
    ),
    "z_loss below 0": (Z, INDICES, {"z_loss": -1e-4}, r"z_loss=-0\.0001: pass a finite number from 0 up"),
    "softcap 0": (Z, INDICES, {"softcap": 0.0}, r"softcap=0\.0: pass a finite number above 0, or None for no cap"),
    "softcap array": (Z, INDICES, {"softcap": np.ones(1)}, r"softcap=array\(\[1\.\]\): pass a finite number"),
    "weights and z_loss": (Z, INDICES, {"weights": WEIGHTS, "z_loss": 0.1}, r"weights and z_loss=0\.1 at once"),
    "masks and smoothing": (
        MASKED,
        INDICES,
        {"label_smoothing": 0.1},
        r"z\[0, 1\] = -inf and label_smoothing=0\.1: smoothing labels every class.*smoothed over the classes left",
    ),
    "masks and cap": (
        MASKED,
        INDICES,
        {"softcap": 30},
        r"z\[0, 1\] = -inf and softcap=30\.0: the cap would make -30\.0 of a masked class",
    ),
    "a place in a sequence": (
        SEQUENCES,
        [[0, 1, 2], [3, 9, 4]],
        {},
        r"y\[1, 1\] = 9 is no class of z, whose K = 5 columns",
    ),
    "a row of a sequence": (
        np.where(np.arange(6).reshape(2, 3, 1) == 5, np.inf, SEQUENCES),
        INDICES.reshape(2, 3),
        {},
        r"row z\[1, 2\] has the maximum inf",
    ),
    "labels turned around": (
        SEQUENCES,
        INDICES.reshape(3, 2),
        {},
        r"y has shape \(3, 2\) and z \(2, 3, 5\): pass one label for each place, \(2, 3\)",
    ),
    "flat labels": (SEQUENCES, INDICES, {}, r"y has shape \(6,\): pass \(B, T\) class indices"),
    "float sequences": (
        SEQUENCES,
        np.ones((2, 3)),
        {},
        r"2-D labels are class indices: .*\(B, T, K\)",
    ),
    "soft labels turned around": (
        SEQUENCES,
        np.ones((3, 2, 5)),
        {},
        r"y has shape \(3, 2, 5\) and z \(2, 3, 5\): pass a row of labels for each place",
    ),
    "soft labels of other classes": (
        SEQUENCES,
        np.ones((2, 3, 1)),
        {},
        r"3-D labels hold one weight for each of the K = 5 classes; class indices are 2-D, as in y\[\.\.\., 0\]",
    ),
    "a negative soft label": (SEQUENCES, -np.ones((2, 3, 5)), {}, r"y\[0, 0, 0\] = -1\.0 is no label weight"),
    "four axes": (SEQUENCES[None], INDICES, {}, r"z has shape \(1, 2, 3, 5\), .*or \(B, T, K\) for sequences"),
}


@pytest.mark.parametrize("case", REFUSED)
@each_form
def test_says_what_is_wrong_where_and_what_to_do(form: Any, case: str) -> None:
    z, y, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        form(z, y, **options)


@each_form
def test_an_unknown_option_is_named_with_the_known_ones(form: Any) -> None:
    with pytest.raises(TypeError, match="takes no 'smoothing': its options are reduction, weights, ignore_index, lab"):
        form(Z, INDICES, smoothing=0.1)


# The table.

GIVEN: dict[str, Any] = {
    "reduction": "sum",
    "weights": WEIGHTS,
    "ignore_index": -100,
    "label_smoothing": 0.1,
    "temperature": 2.0,
    "z_loss": 0.1,
    "softcap": 3.0,
}


def called(name: str, z: Any, y: Any, **options: Any) -> Any:
    """Call a form with these logits, as it takes them: out of a layer, or in shards."""
    form = getattr(softmax_nll, name)
    if name == "sharded":
        return form((z[..., :2], z[..., 2:]), y, **options)
    if name == "fused_linear":
        masked = np.isneginf(z).all(axis=tuple(range(z.ndim - 1)))
        return form(np.where(masked, 0, z), np.eye(z.shape[-1]), np.where(masked, -np.inf, 0.0), y, **options)
    return form(z, y, **options)


def test_the_table_has_every_form_and_only_known_options() -> None:
    assert set(softmax_nll.OPTIONS) == set(softmax_nll.__all__) - {"OPTIONS"}
    known = {*KEYWORDS, *INPUTS}
    assert all(set(options) <= known and "reduction" in options for options in softmax_nll.OPTIONS.values())
    assert set(GIVEN) == set(KEYWORDS)


@pytest.mark.parametrize("option", KEYWORDS)
@pytest.mark.parametrize("name", softmax_nll.OPTIONS)
def test_a_keyword_works_where_the_table_has_it_and_is_refused_elsewhere(name: str, option: str) -> None:
    if option in softmax_nll.OPTIONS[name]:
        loss = called(name, Z, INDICES, **{option: GIVEN[option]})[0]
        assert loss == pytest.approx(softmax_nll.fused(Z, INDICES, **{option: GIVEN[option]})[0], rel=ROUNDING)
    else:
        takers = "log_softmax, fused, accurate"
        with pytest.raises(TypeError, match=f"{name} takes no {option}: {takers}.* do"):
            called(name, Z, INDICES, **{option: GIVEN[option]})


# A class that no row has, so that a bias can mask it.
INPUTS = {
    "soft labels": (Z, SOFT),
    "masks": (np.where(np.arange(5) == 3, -np.inf, Z), INDICES),
    "sequences": (SEQUENCES, INDICES.reshape(2, 3)),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", softmax_nll.OPTIONS)
def test_an_input_works_where_the_table_has_it_and_is_refused_elsewhere(name: str, kind: str) -> None:
    z, y = INPUTS[kind]
    if kind in softmax_nll.OPTIONS[name]:
        assert called(name, z, y)[0] == pytest.approx(softmax_nll.fused(z, y)[0], rel=ROUNDING)
    else:
        with pytest.raises(ValueError, match=r"^(y|z|zs\[0\]) has |^h .* do not fit"):
            called(name, z, y)
