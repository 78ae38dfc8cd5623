"""What models of the next day's price are worth, against "tomorrow's price is today's"."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stock_assets.crypto.rows import PriceRows
from stock_assets.learning.evaluation import measure, years
from stock_assets.learning.metrics import Array

RANDOM_WALK = "random_walk"
"""The baseline that decides: the price of today."""
LEFT_OUT = ("mse", "wape", "r2_log")
"""Scores that say nothing of prices, or what another one says."""


def scaled_mae(rows: PriceRows, predicted: Array) -> float:
    """Mean absolute error as a share of the asset's mean price: assets of any price count alike."""
    return float(np.mean(np.abs(predicted - rows.next_price) / _scale(rows)))


def measure_all(rows: PriceRows, predicted: Mapping[str, Array], chosen: str) -> dict[str, Any]:
    """The content of `metrics.json`: the candidates on the rows of the test window, `chosen` first of all.

    MAE and RMSE of `test` and `baselines` are shares of the asset's mean price over the window, so that assets of any
    price count alike; the skill is the same in either unit where there is one asset. `assets` has them in the prices'
    own unit.
    """
    scale = _scale(rows)
    walk, groups = {RANDOM_WALK: rows.price / scale}, {"year": years(rows.days)}
    found = {
        name: measure(rows.days, rows.next_price / scale, prices / scale, walk, groups)
        for name, prices in predicted.items()
    }
    best = found[chosen]
    for scores in (best["test"], *best["baselines"].values(), *best["slices"]["year"].values()):
        for name in LEFT_OUT:
            scores.pop(name, None)
    return best | {
        "direction": direction(rows, predicted[chosen]),
        "always_up": direction(rows, rows.price * 2),
        "candidates": {
            name: {
                "mae": scores["test"]["mae"],
                "skill": scores["skill"],
                "skill_interval": scores["skill_interval"],
                "direction": direction(rows, predicted[name]),
            }
            for name, scores in found.items()
        },
        "assets": {
            asset: _in_prices(rows.at(places), {name: prices[places] for name, prices in predicted.items()})
            for asset, places in rows.by_asset().items()
        },
    }


def direction(rows: PriceRows, predicted: Array) -> dict[str, float]:
    """The share of days whose rise or fall was told, of the days that had one, with Wilson's 95 % interval."""
    from scipy.stats import binomtest  # noqa: PLC0415 - half a second

    change = rows.next_price - rows.price
    moved = change != 0
    told = int((np.sign(predicted - rows.price) == np.sign(change))[moved].sum())
    days = int(moved.sum())
    if not days:
        return {"days": 0, "share": 0.0, "low": 0.0, "high": 1.0}
    interval = binomtest(told, days).proportion_ci(method="wilson")
    return {"days": days, "share": told / days, "low": float(interval.low), "high": float(interval.high)}


def _in_prices(rows: PriceRows, predicted: Mapping[str, Array]) -> dict[str, dict[str, Any]]:
    """Of one asset: MAE and RMSE in the unit of its prices, for the random walk and each candidate."""
    walk = {RANDOM_WALK: rows.price}
    found = {}
    for name, prices in (walk | dict(predicted)).items():
        scores = measure(rows.days, rows.next_price, prices, walk, {})
        found[name] = {
            "rows": len(rows.days),
            "mae": scores["test"]["mae"],
            "rmse": scores["test"]["rmse"],
            "skill": scores["skill"][RANDOM_WALK],
            "skill_interval": scores["skill_interval"][RANDOM_WALK],
            "direction": direction(rows, rows.price * 2 if name == RANDOM_WALK else prices),
        }
    return found


def _scale(rows: PriceRows) -> Array:
    """The mean price of each row's asset over these rows, shape (n,)."""
    scale = np.empty(len(rows.days))
    for places in rows.by_asset().values():
        scale[places] = rows.next_price[places].mean()
    return scale
