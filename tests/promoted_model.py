"""Small volume models, published and promoted as the pipeline does it, for the tests of what uses or watches them."""

import shutil
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl

from stock_assets.layout import Layout
from stock_assets.learning.drift import bins
from stock_assets.registry import MODEL_FILE, promote, publish_version

INPUTS = ["vol_moving_avg", "adj_close_rolling_med"]


def copy_market(market: Layout, data_dir: Path) -> Layout:
    """A data folder of the test's own, with the tables of another one and without models."""
    for name in ("lake", "raw"):
        shutil.copytree(market.data_dir / name, data_dir / name)
    shutil.copy(market.database, data_dir)
    return Layout(data_dir)


def read_features(layout: Layout, letter: str = "*") -> pl.DataFrame:
    return pl.read_parquet(layout.data_dir / f"lake/features/letter={letter}/*.parquet", hive_partitioning=False)


def booster_of(level: float = 0.0, shift: float = 0.3) -> lightgbm.Booster:
    """A booster whose scores lie around `level` and hang on both inputs, also where these are huge or negative."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.exp(rng.normal(11, 4, 3000)), rng.normal(30, 40, 3000)])
    y = level + shift * np.sin(np.log(x[:, 0])) + shift * (x[:, 1] > 20)
    parameters = {"num_leaves": 15, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=20)


def promote_model(layout: Layout, booster: lightgbm.Booster | None = None, **facts: Any) -> str:
    """Publish and promote a volume model that says it was made of the features that are there; gives its version."""
    model = booster or booster_of()
    rows = read_features(layout).drop_nulls("vol_moving_avg")
    manifest = {
        "inputs": INPUTS,
        "target": "log_ratio",
        "input_bins": {name: bins(rows[name].to_numpy()) for name in INPUTS},
        "data": {"until": str(rows["Date"].max()), "rows": len(rows)},
        "metrics": {"drift": {}},
    } | facts

    def write(folder: Path) -> dict[str, Any]:
        model.save_model(folder / MODEL_FILE)
        return manifest

    folder = layout.models / "volume_model"
    version, _ = publish_version(folder, write)
    promote(folder, version, "volume_model", "a-run")
    return version
