"""Rows of `crypto_features` as arrays."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.learning.metrics import Array
from stock_assets.learning.split import Days, Mask
from stock_assets.provenance import read_made_from
from stock_assets.statements import columns, run

PUBLISHED_INPUTS = ("price", "volume", "marketCap", "rsi")
"""What the published sample's regression knows."""
INPUTS = (
    "rsi", "return_1", "return_1_before", "return_7", "return_30", "price_to_mean_7", "price_to_mean_30",
    "volume_to_mean_30", "deviation_30",
)  # fmt: skip
"""What the models of returns know; `sql/crypto/create_features.sql` says what these are."""
NUMBERS = tuple(dict.fromkeys((*PUBLISHED_INPUTS, *INPUTS, "next_price", "next_return")))


class PriceRows(NamedTuple):
    """n rows: their asset, day and numbers by column, each of shape (n,), not a number where unknown."""

    asset: NDArray[np.object_]
    days: Days
    numbers: Mapping[str, Array]

    @property
    def price(self) -> Array:
        return self.numbers["price"]

    @property
    def next_price(self) -> Array:
        return self.numbers["next_price"]

    def at(self, places: Mask) -> "PriceRows":
        return PriceRows(
            self.asset[places], self.days[places], {name: values[places] for name, values in self.numbers.items()}
        )

    def matrix(self, names: Iterable[str]) -> Array:
        """These columns side by side, shape (n, k)."""
        return np.column_stack([self.numbers[name] for name in names])

    def complete(self, *names: str) -> Mask:
        """The rows of which all these columns are known."""
        return np.asarray(np.isfinite(self.matrix(names)).all(axis=1))

    def by_asset(self) -> dict[str, Mask]:
        return {str(name): np.asarray(self.asset == name) for name in np.unique(self.asset)}


def read_rows(connection: DuckDBPyConnection, path: Path) -> PriceRows:
    """All rows of a feature file, by asset and date."""
    table: dict[str, Any] = columns(connection, "crypto/feature_rows", path=str(path))
    numbers = {name: np.ma.filled(table[name].astype(np.float64), np.nan) for name in NUMBERS}
    days = np.asarray(table["date"], dtype="datetime64[D]")
    return PriceRows(np.asarray(table["asset"], dtype=object), days, numbers)


def describe_data(connection: DuckDBPyConnection, path: Path) -> dict[str, Any]:
    """What a model is trained on: the version of the features, their assets, rows and last day."""
    ((rows, until, assets),) = run(connection, "crypto/describe_features", path=str(path))
    return {"fingerprint": read_made_from(connection, path), "assets": assets, "rows": rows, "until": until}
