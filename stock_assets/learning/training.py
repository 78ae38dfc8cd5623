"""Training and evaluation of the volume model: arrays in, a booster and numbers out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stock_assets.errors import UserError
from stock_assets.learning.drift import bins
from stock_assets.learning.light_lightgbm import import_lightgbm
from stock_assets.learning.metrics import score, skill
from stock_assets.learning.split import Days, Mask, Split
from stock_assets.learning.volume import INPUTS, predict_volume

if TYPE_CHECKING:
    from lightgbm import Booster

BASELINE = "vol_moving_avg"

PARAMETERS: dict[str, Any] = {
    # The median of the log ratio is the median of the volume, and that is what minimises MAE in shares.
    "objective": "l1",
    "metric": "l1",
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "seed": 7,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
MAX_ROUNDS = 300
PATIENCE = 20
MAX_ROWS = 1_000_000
"""Rows of a window that are used, evenly spaced: two inputs gain nothing from more, and 20 M take long."""
MIN_ROWS = 500
"""Rows a window must have: fewer give neither a model nor a measurement of one."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VolumeRows:
    """Feature rows: `days` (n,) dates, `volume` (n,) shares, `inputs` (n, 2) in the order of `INPUTS`."""

    days: Days
    volume: Array
    inputs: Array

    def at(self, mask: Mask) -> "VolumeRows":
        return VolumeRows(self.days[mask], self.volume[mask], self.inputs[mask])


def train(rows: VolumeRows, split: Split, threads: int) -> "Booster":
    """A booster of log(Volume / vol_moving_avg), stopped early on the validation window.

    Zero has no logarithm: a day without trading counts as one share. A row whose whole window is without
    trading has no ratio and is left out of training, not of the evaluation.
    Raises `UserError` where a window has fewer than `MIN_ROWS` rows.
    """
    lightgbm = import_lightgbm()
    training = _with_ratio(rows.at(split.train(rows.days)), "training")
    validation = _with_ratio(rows.at(split.validation(rows.days)), "validation")
    parameters = PARAMETERS | {"num_threads": threads}
    dataset = lightgbm.Dataset(training.inputs, _log_ratio(training), feature_name=list(INPUTS), params=parameters)
    check = lightgbm.Dataset(validation.inputs, _log_ratio(validation), reference=dataset, params=parameters)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    booster = lightgbm.train(parameters, dataset, MAX_ROUNDS, valid_sets=[check], callbacks=[stop])
    # The text is what is published: what is measured is what it says, without the rounds after the best one.
    best: Booster = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return best


def evaluate(booster: "Booster", rows: VolumeRows, split: Split, threads: int) -> dict[str, Any]:
    """The content of `metrics.json`: the model and the baseline "volume = vol_moving_avg" on the test rows.

    Raises `UserError` where the test window has fewer than `MIN_ROWS` rows.
    """
    test = rows.at(split.test(rows.days))
    _require(test, "test")
    window = {"rows": len(test.days), "from": str(test.days.min()), "to": str(test.days.max())}
    model = score(test.volume, predict_volume(booster, test.inputs, threads))
    baseline = score(test.volume, test.inputs[:, 0])
    return {
        "test": window | model,
        "baselines": {BASELINE: window | baseline},
        "skill": {BASELINE: skill(model["mae"], baseline["mae"])},
        "split": split.as_json(),
    }


def input_ranges(rows: VolumeRows, split: Split) -> dict[str, dict[str, float]]:
    """The range of each input over the training rows: minimum, 1 %, median, 99 %, maximum."""
    inputs = rows.inputs[split.train(rows.days)]
    quantiles = np.quantile(inputs, [0, 0.01, 0.5, 0.99, 1], axis=0)
    names = ("min", "p01", "median", "p99", "max")
    return {
        column: dict(zip(names, map(float, quantiles[:, place]), strict=True)) for place, column in enumerate(INPUTS)
    }


def input_bins(rows: VolumeRows, split: Split) -> dict[str, dict[str, list[float]]]:
    """Bins of each input with the share of the training rows in them, of at most `MAX_ROWS` rows, evenly spaced."""
    inputs = rows.inputs[split.train(rows.days)]
    thinned = inputs[:: -(-len(inputs) // MAX_ROWS)]
    return {column: bins(thinned[:, place]) for place, column in enumerate(INPUTS)}


def _with_ratio(rows: VolumeRows, window: str) -> VolumeRows:
    """The rows that have a ratio, thinned evenly to `MAX_ROWS`."""
    usable = rows.at(rows.inputs[:, 0] > 0)
    _require(usable, window)
    step = -(-len(usable.days) // MAX_ROWS)
    return VolumeRows(usable.days[::step], usable.volume[::step], usable.inputs[::step])


def _require(rows: VolumeRows, window: str) -> None:
    if len(rows.days) < MIN_ROWS:
        raise UserError(
            f"the {window} window has {len(rows.days)} usable rows, fewer than {MIN_ROWS}: "
            "add prices, or materialize more letters of features"
        )


def _log_ratio(rows: VolumeRows) -> Array:
    return np.log(np.maximum(rows.volume, 1) / rows.inputs[:, 0])
