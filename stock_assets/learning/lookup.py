"""A booster of few inputs as a table: between two thresholds of an input all rows have the same score."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lightgbm import Booster

MAX_CELLS = 1_000_000
"""A larger table would take seconds to fill; two inputs with LightGBM's 255 bins each have at most 66,000 cells."""
ZERO = float(np.float32(1e-35))
"""LightGBM takes numbers up to this one, and their negatives, for zero (`kZeroThreshold`)."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreTable:
    """`edges`: for each input the rising upper bounds of its cells, each included. `scores`: one axis an input.

    The last edge is infinite; one more cell behind it is that of NaN.
    """

    edges: tuple[Array, ...]
    scores: Array

    def score(self, *inputs: Array) -> Array:
        """What `booster.predict` gives, to the bit: shape (n,), of one array of shape (n,) for each input."""
        # NaN sorts behind infinity, hence into the last cell.
        cells = [np.searchsorted(edges, values) for edges, values in zip(self.edges, inputs, strict=True)]
        return np.asarray(self.scores[tuple(cells)], dtype=np.float64)


def tabulate(booster: "Booster", threads: int) -> ScoreTable | None:
    """The table of a booster; None where it would have more than `MAX_CELLS` cells, or a split is by category."""
    thresholds: list[set[float]] = [set() for _ in range(booster.num_feature())]
    for node in _splits(booster.dump_model()["tree_info"]):
        if node["decision_type"] != "<=":
            return None
        thresholds[node["split_feature"]].add(node["threshold"])
    bounds = {np.nextafter(-ZERO, -np.inf), ZERO, np.inf}
    edges = tuple(np.array(sorted(found | bounds)) for found in thresholds)
    # A cell is filled with the booster's own score of its upper bound, so its rules for zero and NaN are kept.
    samples = [np.append(bound, np.nan) for bound in edges]
    shape = tuple(map(len, samples))
    if prod(shape) > MAX_CELLS:
        return None
    grid = np.stack(np.meshgrid(*samples, indexing="ij"), axis=-1).reshape(-1, len(shape))
    return ScoreTable(edges, np.asarray(booster.predict(grid, num_threads=threads)).reshape(shape))


def _splits(trees: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every inner node; a leaf has no children."""
    nodes = [tree["tree_structure"] for tree in trees]
    while nodes:
        node = nodes.pop()
        if "left_child" in node:
            yield node
            nodes += (node["left_child"], node["right_child"])
