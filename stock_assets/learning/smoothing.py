"""Baselines of the next day's volume: exponential smoothing and the heterogeneous autoregression, on log volume."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stock_assets.learning.metrics import Array

ALPHAS = tuple(round(step / 10, 1) for step in range(1, 10))
"""Smoothing factors to choose from."""


def ewma(values: Array, starts: NDArray[np.intp], alpha: float) -> Array:
    """The exponentially weighted mean of each value and those before it in its series, shape (n,).

    Series follow each other in `values`; `starts` has the place of the first value of each, beginning with 0. The mean
    begins with the first value: s_0 = x_0, s_t = alpha x_t + (1 - alpha) s_{t-1} (Brown, 1956).
    """
    from scipy.signal import lfilter  # noqa: PLC0415 - takes half a second to load

    smoothed = np.empty_like(values)
    for start, end in zip(starts, [*starts[1:], len(values)], strict=True):
        first = [(1 - alpha) * values[start]]
        smoothed[start:end] = lfilter([alpha], [1, alpha - 1], values[start:end], zi=first)[0]
    return smoothed


class LeastSquares(NamedTuple):
    """Coefficients of a linear regression, the constant first."""

    coefficients: Array

    @classmethod
    def fit(cls, inputs: NDArray[np.float32], label: Array) -> "LeastSquares":
        """Ordinary least squares of `label` (n,) on `inputs` (n, k) and a constant; not a number counts as 0."""
        return cls(np.linalg.lstsq(_with_constant(inputs), label, rcond=None)[0].astype(np.float64))

    def predict(self, inputs: NDArray[np.float32]) -> Array:
        return np.asarray(_with_constant(inputs) @ self.coefficients)


def _with_constant(inputs: NDArray[np.float32]) -> Array:
    return np.column_stack([np.ones(len(inputs)), np.nan_to_num(inputs.astype(np.float64))])
