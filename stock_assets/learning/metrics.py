"""Metrics of predicted volume. Every model and baseline is scored by this one function on the same rows."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def score(actual: Array, predicted: Array) -> dict[str, float]:
    """Errors of `predicted` against `actual`, both in shares, shape (n,), n > 0.

    `mae` and `rmse` in shares, `mse` in shares squared; `median_ape` is a share (0.37 is 37 %) over the rows
    with trading, as an error has no percentage of zero; `wape` is the sum of the absolute errors as a share of the
    volume, 0 where there is none (Kolassa and Schütz, 2007); `r2_log` is the coefficient of determination of
    log(1 + volume), NaN-free: 0 where the actual volume never varies.
    """
    error = predicted - actual
    mse, mae, volume = float(np.mean(error**2)), float(np.mean(np.abs(error))), float(np.mean(actual))
    traded = actual > 0
    ape = np.abs(error[traded]) / actual[traded]
    log_actual, log_predicted = np.log1p(actual), np.log1p(predicted)
    spread = float(np.sum((log_actual - log_actual.mean()) ** 2))
    residual = float(np.sum((log_actual - log_predicted) ** 2))
    return {
        "mae": mae,
        "mse": mse,
        "rmse": mse**0.5,
        "median_ape": float(np.median(ape)) if len(ape) else 0.0,
        "wape": mae / volume if volume else 0.0,
        "r2_log": 1 - residual / spread if spread else 0.0,
    }


def skill(mae: float, baseline_mae: float) -> float:
    """1 - mae / baseline_mae: the share of the baseline's error that the model saves; 0 where it makes none."""
    return 1 - mae / baseline_mae if baseline_mae else 0.0
