"""How far inputs have drifted from those of the training: the population stability index.

Below 0.1 counts as stable and above 0.2 or 0.25 as shifted (Siddiqi, Credit Risk Scorecards, 2006). The sum itself is
`sql/models/drift_stability.sql`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.statements import run

BINS = 10
SHIFTED = 0.2


class Drift(NamedTuple):
    """The population stability index of one input, of so many rows."""

    rows: int
    psi: float


def bins(values: NDArray[np.float64]) -> dict[str, list[float]]:
    """The inner edges of bins of about equal numbers of `values`, shape (n,), and the share of them in each bin.

    An edge belongs to the bin above it. Equal quantiles make one edge, so there may be fewer than `BINS` bins.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": (counts / len(values)).tolist()}


def stability(
    connection: DuckDBPyConnection, training: Mapping[str, Any], files: Sequence[Path], after: str
) -> dict[str, Drift]:
    """The drift of each input, of the rows of these files after a day, against its bins in training.

    `training` is a manifest's `input_bins`: the `bins` of each input, which is a column of the files. An input without
    rows after that day is left out.
    """
    parameters = {part: [training[name][part] for name in training] for part in ("edges", "shares")}
    rows = run(
        connection,
        "models/drift_stability",
        files=[str(path) for path in files],
        after=after,
        inputs=list(training),
        **parameters,
    )
    return {name: Drift(count, psi) for name, count, psi in rows}
