"""The volume model's inputs and the step from its raw score to a volume; shared with the service."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lightgbm import Booster

INPUTS = ("vol_moving_avg", "adj_close_rolling_med")
"""The two inputs, in the order of the model's columns."""

Array = NDArray[np.float64]


def predict_volume(booster: "Booster", inputs: Array, threads: int) -> Array:
    """Predicted volume in shares, shape (n,), of inputs of shape (n, 2) in the order of `INPUTS`.

    The booster scores log(Volume / vol_moving_avg), so its score is a factor on the moving average.
    Use one thread for small batches: a second one costs more than it brings.
    """
    ratio = np.exp(booster.predict(inputs, num_threads=threads))
    return np.asarray(inputs[:, 0] * ratio, dtype=np.float64)
