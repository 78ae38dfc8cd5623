"""Prediction intervals from two quantile models, widened or narrowed so that they hold what they promise.

Conformalised quantile regression (Romano, Patterson and Candès, 2019), separately for each bucket of liquidity: one
margin for all symbols would be too narrow for thin ones and too wide for liquid ones.
"""

from typing import Any

import numpy as np

from stock_assets.learning.evaluation import Group
from stock_assets.learning.metrics import Array

NOMINAL = 0.8
QUANTILES = (0.1, 0.9)
MIN_ROWS = 100
"""Rows of a bucket without which it takes the margin of all rows."""
LEAST = -0.02
"""Intervals are narrowed by no more, in logs: which thin symbols do not trade changes from year to year, and zeros make
their intervals look too wide in one window and too narrow in the next."""


def margins(low: Array, high: Array, actual: Array, buckets: Group) -> dict[str, float]:
    """By bucket, what to add to both ends of an interval for it to hold `NOMINAL` of these rows.

    `low`, `high` and `actual` have shape (n,) and one unit, that of the margins. `low` may be minus infinity: a zero is
    inside such an interval whatever the margin.
    """
    outside = np.where(np.isneginf(low) & (actual <= 0), -np.inf, np.maximum(low - actual, actual - high))
    overall = _margin(outside)
    found = {}
    for code, label in enumerate(buckets.labels):
        rows = outside[buckets.codes == code]
        found[label] = _margin(rows) if len(rows) >= MIN_ROWS else overall
    return found


def margin_of(found: dict[str, float], buckets: Group) -> Array:
    """The margin of each row, shape (n,)."""
    return np.array([found[label] for label in buckets.labels])[buckets.codes]


def coverage(low: Array, high: Array, actual: Array, buckets: Group) -> dict[str, Any]:
    """The share of rows inside their interval, ends included: of all, and by bucket where it has rows."""
    inside = (low <= actual) & (actual <= high)
    places = [(label, buckets.codes == code) for code, label in enumerate(buckets.labels)]
    return {
        "nominal": NOMINAL,
        "coverage": float(inside.mean()),
        "by_liquidity": {label: float(inside[rows].mean()) for label, rows in places if rows.any()},
    }


def _margin(outside: Array) -> float:
    """The smallest margin that covers the share with its correction for few rows, or `LEAST`."""
    share = min(1.0, NOMINAL * (1 + 1 / len(outside)))
    return max(LEAST, float(np.quantile(outside, share, method="higher")))
