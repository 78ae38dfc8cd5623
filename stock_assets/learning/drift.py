"""How far inputs have drifted from those of the training: the population stability index.

PSI = sum over bins of (actual - expected) * ln(actual / expected), over the shares of the rows in each bin. Below 0.1
counts as stable and above 0.2 or 0.25 as shifted (Siddiqi, Credit Risk Scorecards, 2006).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
SMALLEST_SHARE = 1e-4
"""An empty bin counts as this share: its logarithm would be infinite."""


def bins(values: NDArray[np.float64]) -> dict[str, list[float]]:
    """The inner edges of bins of about equal numbers of `values`, shape (n,), and the share of them in each bin.

    An edge belongs to the bin above it. Equal quantiles make one edge, so there may be fewer than `BINS` bins.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": (counts / len(values)).tolist()}


def stability_index(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of shares by bin, each summing to 1."""
    before, now = (np.maximum(np.asarray(shares, float), SMALLEST_SHARE) for shares in (expected, actual))
    return float(np.sum((now - before) * np.log(now / before)))


def shares_of(counts: dict[Any, int], size: int) -> list[float]:
    """The shares of the bins 0 to `size` - 1, from counts by bin that may lack some."""
    total = sum(counts.values())
    return [counts.get(place, 0) / total for place in range(size)]
