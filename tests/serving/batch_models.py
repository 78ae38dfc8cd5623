"""What the tests of batches share: inputs, and what the model says of them."""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from tests.serving.conftest import train


def inputs_of(rows: int) -> NDArray[np.float64]:
    """Shape (rows, 2): around the ranges that the small models were trained in."""
    return np.random.default_rng(rows).uniform(0, [5000, 900], (rows, 2))


def expected_volumes(inputs: NDArray[np.float64], booster: lightgbm.Booster | None = None) -> list[int]:
    """By the model's definition: its score is log(volume / moving average)."""
    scores = np.asarray((booster or train(0.0)).predict(inputs, num_threads=1))
    return [round(volume) for volume in (inputs[:, 0] * np.exp(scores)).tolist()]
