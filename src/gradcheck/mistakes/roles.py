"""Which arguments are logits and labels, told from their shapes and types, never from a name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.rule import is_float
from gradcheck.tree import Array, Flat

__all__ = ["Roles", "roles_of"]


@dataclass(frozen=True, eq=False)
class Roles:
    """What the arguments are to one another.

    Parameters
    ----------
    logits : int or None
        Which of the differentiated arrays holds logits: one that comes with labels for its rows.
    labels : int or None
        Index, among all leaves, of whole numbers for its rows: classes. Without logits, the first array of whole
        numbers in one axis, as in a network that ends in a loss.
    soft : int or None
        Index, among all leaves, of data of the logits' shape: a row of label weights for each.
    rows, classes : int or None
        How many rows (label positions) and classes there are. Without logits, rows are counted along the first axis of
        the data, or of the primals, and classes along the last axis of the last primal, if some primal is a matrix.
    """

    logits: int | None = None
    labels: int | None = None
    soft: int | None = None
    rows: int | None = None
    classes: int | None = None

    def onehot(self, flat: Flat) -> Array | None:
        """Give the label weights, shaped like the logits, in float64; a label that is no class weighs nothing."""
        if self.soft is not None:
            return np.asarray(flat.leaves[self.soft], dtype=np.float64)
        if self.labels is None or self.classes is None:
            return None
        return np.asarray(flat.leaves[self.labels][..., None] == np.arange(self.classes), dtype=np.float64)


def roles_of(flat: Flat) -> Roles:
    """Tell the roles of the arguments of a point: the first pair of logits and labels that fits."""
    primals = {leaf.index for leaf in flat.differentiated}
    for slot, leaf in enumerate(flat.differentiated):
        shape = leaf.array.shape
        if not shape:
            continue
        rows, classes = int(np.prod(shape[:-1])), shape[-1]
        for index, array in _data(flat, primals):
            if array.dtype.kind in "iu" and array.shape == shape[:-1]:
                return Roles(slot, index, None, rows, classes)
        for index, array in _data(flat, primals):
            if array.shape == shape and (is_float(array.dtype) or array.dtype.kind in "iub"):
                return Roles(slot, None, index, rows, classes)
    return _of_network(flat, [array for _, array in _data(flat, primals)], _whole_numbers(flat, primals))


def _of_network(flat: Flat, data: Sequence[Array], labels: int | None) -> Roles:
    arrays = [a for a in (*data, *(leaf.array for leaf in flat.differentiated)) if a.ndim]
    rows = np.asarray(flat.leaves[labels]).size if labels is not None else len(arrays[0]) if arrays else None
    shapes = [leaf.array.shape for leaf in flat.differentiated if leaf.array.ndim]
    columns = any(len(shape) > 1 for shape in shapes)  # of a single vector, entries are rows
    return Roles(None, labels, None, rows, shapes[-1][-1] if columns else None)


def _whole_numbers(flat: Flat, primals: set[int]) -> int | None:
    return next((i for i, a in _data(flat, primals) if a.dtype.kind in "iu" and a.ndim == 1), None)


def _data(flat: Flat, primals: set[int]) -> Iterator[tuple[int, Array]]:
    for index, leaf in enumerate(flat.leaves):
        if index not in primals and isinstance(leaf, np.ndarray):
            yield index, leaf
