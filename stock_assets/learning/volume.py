"""The two-input model's inputs, its baseline, and the step from its raw score to a volume; shared with the service."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lightgbm import Booster

INPUTS = ("vol_moving_avg", "adj_close_rolling_med")
"""The two inputs, in the order of the model's columns."""
BASELINE = "vol_moving_avg"
"""What every model must beat: the volume is its own moving average."""

MAX_VOLUME = 1e15
"""Largest moving average that is answered, in shares: far above any market's, far below overflow."""

Target = Literal["log_ratio", "volume"]
"""What a booster scores: log(Volume / vol_moving_avg), or the volume itself."""

Array = NDArray[np.float64]


def volume_of(score: Array, moving_average: Array, target: Target) -> Array:
    """Volume in shares, never negative, of raw scores; all of shape (n,). Without a moving average a ratio gives 0."""
    if target == "log_ratio":
        return np.asarray(moving_average * np.exp(score), dtype=np.float64)
    return np.maximum(score, 0.0)


def predict_volume(booster: "Booster", inputs: Array, threads: int, target: Target) -> Array:
    """Predicted volume in shares, shape (n,), of inputs of shape (n, 2) in the order of `INPUTS`.

    Use one thread for small batches: a second one costs more than it brings.
    """
    scores = np.asarray(booster.predict(inputs, num_threads=threads), dtype=np.float64)
    return volume_of(scores, inputs[:, 0], target)
