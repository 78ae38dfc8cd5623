"""Prediction intervals that hold what they promise: on rows that a model has not learnt from, by bucket of liquidity.

Those of two quantile models are widened or narrowed by a margin: conformalised quantile regression (Romano, Patterson
and Candès, 2019). A model that has none gets its ends from the ratios of actual to predicted volume: split conformal
prediction (Lei and others, 2018). One margin or ratio for all symbols would be too narrow for thin ones and too wide
for liquid ones.
"""

from typing import Any, NamedTuple

import numpy as np

from stock_assets.learning.evaluation import Group
from stock_assets.learning.metrics import Array

NOMINAL = 0.8
QUANTILES = (0.1, 0.9)
MIN_ROWS = 100
"""Rows of a bucket without which it takes the margin or the ratios of all rows."""
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


class Ratios(NamedTuple):
    """What a prediction is multiplied by for the ends of its interval, by the code of its bucket: shape (k,) each."""

    low: Array
    high: Array

    def ends(self, predicted: Array, buckets: Group) -> tuple[Array, Array]:
        """The low and the high end in the unit of `predicted`, shape (n,) each."""
        return predicted * self.low[buckets.codes], predicted * self.high[buckets.codes]


def ratios(predicted: Array, actual: Array, buckets: Group) -> Ratios:
    """By bucket, the `QUANTILES` of actual / predicted on these rows, corrected for few rows; from 0, one-sided.

    `predicted` and `actual` have shape (n,), n > 0, and one unit; a prediction is above 0.
    """
    found = actual / predicted
    overall = _ratios(found)
    places = [found[buckets.codes == code] for code in range(len(buckets.labels))]
    low, high = zip(*(_ratios(rows) if len(rows) >= MIN_ROWS else overall for rows in places), strict=True)
    return Ratios(np.array(low), np.array(high))


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
    return max(LEAST, _quantile(outside, NOMINAL))


def _ratios(found: Array) -> tuple[float, float]:
    """No volume is below an interval that begins at 0, so all that it may miss is above."""
    lower, upper = QUANTILES
    low = -_quantile(-found, 1 - lower)
    return low, _quantile(found, upper if low > 0 else NOMINAL)


def _quantile(values: Array, share: float) -> float:
    """The smallest of the values that covers the share with its correction for few rows, or the largest."""
    return float(np.quantile(values, min(1.0, share * (1 + 1 / len(values))), method="higher"))
