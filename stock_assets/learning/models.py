"""The forms that a fitted candidate can have. All give volumes in shares, finite and never negative."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stock_assets.learning.metrics import Array
from stock_assets.learning.volume import Target, predict_volume

if TYPE_CHECKING:
    from lightgbm import Booster

PIECE = 100_000
"""Rows that a thread takes at a time."""
LOWEST_PRICE = 1e-4
"""Dollars that a price counts as at least, in logarithms."""


class Model(Protocol):
    """A fitted candidate."""

    def predict(self, inputs: Array, threads: int) -> Array:
        """Volumes in shares, shape (n,), of inputs of shape (n, 2) in the order of `INPUTS`."""
        ...


@dataclass(frozen=True)
class BoosterModel:
    """A LightGBM booster: the one form that the service can load, from its text."""

    booster: "Booster"
    target: Target

    def predict(self, inputs: Array, threads: int) -> Array:
        return predict_volume(self.booster, inputs, threads, self.target)


@dataclass(frozen=True)
class Regressor:
    """A scikit-learn estimator of the raw volume, which itself uses one thread.

    A forest's own threads add up its trees in the order in which they end, so its last digits would vary.
    """

    estimator: Any

    def predict(self, inputs: Array, threads: int) -> Array:
        pieces = [inputs[start : start + PIECE] for start in range(0, len(inputs), PIECE)]
        with ThreadPoolExecutor(threads) as pool:
            volumes = np.concatenate(list(pool.map(self.estimator.predict, pieces)))
        return np.asarray(np.maximum(volumes, 0), dtype=np.float64)


@dataclass(frozen=True)
class LogLog:
    """log volume = intercept + slopes * log inputs; nothing where the moving average is 0."""

    intercept: float
    slopes: tuple[float, float]

    def predict(self, inputs: Array, threads: int) -> Array:  # noqa: ARG002
        traded = inputs[:, 0] > 0
        volume = np.zeros(len(inputs))
        volume[traded] = np.exp(self.intercept + log_inputs(inputs[traded]) @ np.array(self.slopes))
        return volume


@dataclass(frozen=True)
class Ensemble:
    """The weighted sum of its members' volumes."""

    weights: dict[str, float]
    members: dict[str, Model]

    def predict(self, inputs: Array, threads: int) -> Array:
        return self.combine({name: model.predict(inputs, threads) for name, model in self.members.items()})

    def combine(self, volumes: Mapping[str, Array]) -> Array:
        """The ensemble's volumes, of those of its members by name."""
        total = sum(weight * volumes[name] for name, weight in self.weights.items())
        return np.asarray(total, dtype=np.float64)


def log_inputs(inputs: Array) -> Array:
    """Logarithms of inputs whose moving average is above 0, shape (n, 2)."""
    lowest = np.array([0, LOWEST_PRICE])
    return np.asarray(np.log(np.maximum(inputs, lowest)), dtype=np.float64)


def log_volume(volume: Array) -> Array:
    """The logarithm of volumes, shape (n,): a day without trading counts as one share."""
    return np.asarray(np.log(np.maximum(volume, 1)), dtype=np.float64)
