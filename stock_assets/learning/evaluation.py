"""The one measurement of every model: against baselines on the same rows, with intervals and by slices."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stock_assets.learning.metrics import Array, score, skill
from stock_assets.learning.split import Days

BLOCK = 20
"""Trading dates that are drawn together: errors of one month are alike, so single rows would claim too much."""
RESAMPLES = 1000
SEED = 7
LIQUIDITY_EDGES = (1e3, 1e4, 1e5, 1e6, 1e7)
LIQUIDITY_LABELS = (
    "under 1,000",
    "1,000 to 10,000",
    "10,000 to 100,000",
    "100,000 to 1 M",
    "1 M to 10 M",
    "over 10 M",
)

Codes = NDArray[np.intp]


class Group(NamedTuple):
    """A partition of rows: `codes` of shape (n,), the label of a row is `labels[code]`."""

    codes: Codes
    labels: tuple[str, ...]


def measure(
    days: Days, actual: Array, predicted: Array, baselines: Mapping[str, Array], groups: Mapping[str, Group]
) -> dict[str, Any]:
    """The content of `metrics.json`: `predicted` and each baseline against `actual`, all in shares, shape (n,), n > 0.

    `skill` is the share of a baseline's MAE that the model saves, and `skill_interval` its 95 % interval. `slices` has
    the same by the labels of each group; a label without rows is left out.
    """
    window = {"rows": len(days), "from": str(days.min()), "to": str(days.max())}
    model = score(actual, predicted)
    others = {name: score(actual, values) for name, values in baselines.items()}
    blocks = _blocks(days)
    return {
        "test": window | model,
        "baselines": {name: window | scores for name, scores in others.items()},
        "skill": {name: skill(model["mae"], scores["mae"]) for name, scores in others.items()},
        "skill_interval": {
            name: skill_interval(blocks, np.abs(predicted - actual), np.abs(values - actual))
            for name, values in baselines.items()
        },
        "slices": {name: _slices(actual, predicted, baselines, group) for name, group in groups.items()},
    }


def skill_interval(blocks: Codes, errors: Array, baseline_errors: Array) -> list[float]:
    """The 95 % percentile interval of the skill: whole blocks are drawn with replacement, `RESAMPLES` times.

    `blocks` is the block of each row, errors are absolute ones in shares, all of shape (n,). See Künsch, The jackknife
    and the bootstrap for general stationary observations, 1989; these blocks do not overlap.
    """
    model, baseline = np.bincount(blocks, errors), np.bincount(blocks, baseline_errors)
    drawn = np.random.default_rng(SEED).integers(0, len(model), (RESAMPLES, len(model)))
    skills = [skill(*sums) for sums in zip(model[drawn].sum(axis=1), baseline[drawn].sum(axis=1), strict=True)]
    return [float(bound) for bound in np.quantile(skills, [0.025, 0.975])]


def liquidity(mean_volume: Array) -> Group:
    """Rows by their moving average in shares a day, shape (n,); an edge belongs to the bucket above it."""
    return Group(np.searchsorted(LIQUIDITY_EDGES, mean_volume, side="right"), LIQUIDITY_LABELS)


def years(days: Days) -> Group:
    """Rows by calendar year."""
    numbers = days.astype("datetime64[Y]").astype(np.intp)
    first, last = int(numbers.min()), int(numbers.max())
    return Group(numbers - first, tuple(str(1970 + year) for year in range(first, last + 1)))


def _blocks(days: Days) -> Codes:
    """The block of `BLOCK` consecutive dates that each row is in; numbered from 0 without holes."""
    numbers = days.astype("datetime64[D]").astype(np.intp)
    offsets = numbers - numbers.min()
    rank = np.cumsum(np.bincount(offsets) > 0) - 1
    return np.asarray(rank[offsets] // BLOCK, dtype=np.intp)


def _slices(actual: Array, predicted: Array, baselines: Mapping[str, Array], group: Group) -> dict[str, dict[str, Any]]:
    order = np.argsort(group.codes.astype(np.uint16), kind="stable")
    ends = np.cumsum(np.bincount(group.codes, minlength=len(group.labels)))
    slices = {}
    for label, start, end in zip(group.labels, (0, *ends), ends, strict=False):
        if end > start:
            rows = order[start:end]
            others = {name: values[rows] for name, values in baselines.items()}
            slices[label] = _slice(actual[rows], predicted[rows], others)
    return slices


def _slice(actual: Array, predicted: Array, baselines: Mapping[str, Array]) -> dict[str, Any]:
    scores = score(actual, predicted)
    skills = {name: skill(scores["mae"], float(np.mean(np.abs(values - actual)))) for name, values in baselines.items()}
    kept = {name: scores[name] for name in ("mae", "median_ape", "wape", "r2_log")}
    return {"rows": len(actual)} | kept | {"skill": skills}
