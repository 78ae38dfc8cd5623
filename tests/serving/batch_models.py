"""What the tests of batches share: inputs, what the model says of them, and a model with an interval and ranges."""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from tests.serving.conftest import Models, publish, sound_facts, train

EDGE = 1000.0
INTERVAL = {"nominal": 0.8, "edges": [EDGE], "low": [0.5, 0.9], "high": [3.0, 1.5]}
RANGES = {"vol_moving_avg": {"min": 10, "max": 2000}, "adj_close_rolling_med": {"min": 1, "max": 500}}


def inputs_of(rows: int) -> NDArray[np.float64]:
    """Shape (rows, 2): around the ranges that the small models were trained in."""
    return np.random.default_rng(rows).uniform(0, [5000, 900], (rows, 2))


def expected_volumes(inputs: NDArray[np.float64], booster: lightgbm.Booster | None = None) -> list[int]:
    """By the model's definition: its score is log(volume / moving average)."""
    scores = np.asarray((booster or train(0.0)).predict(inputs, num_threads=1))
    return [round(volume) for volume in (inputs[:, 0] * np.exp(scores)).tolist()]


def promote_with_interval(models: Models) -> str:
    booster = train(0.0)
    facts = {**sound_facts(booster), "interval": INTERVAL, "input_ranges": RANGES}
    version = publish(models.folder, booster.model_to_string(), facts)
    models.promote(version)
    return version
