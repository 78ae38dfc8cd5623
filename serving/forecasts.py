"""The published forecasts of the next trading day, in memory: one symbol's, or all of them in an order."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from serving.arrays import to_arrow
from serving.published import Columns

BASELINES = ("last", "mean_5", "mean_20", "mean_30", "ewma", "har")
VOLUMES = ("forecast", "low", "high", *(f"baseline_{name}" for name in BASELINES))
COLUMNS = ("Symbol", "as_of", "forecast_for", *VOLUMES)
ORDERS = ("symbol", *VOLUMES, "change")
"""What forecasts can be sorted by."""


class Forecast(BaseModel):
    """A symbol's volume on its next trading day."""

    symbol: str
    name: str | None = Field(description="The security's name; null where it is not known.")
    forecast: int = Field(description="Forecast volume of the day, in shares.")
    low: int = Field(description="Lower end of the 80 % interval, in shares.")
    high: int = Field(description="Upper end of the 80 % interval, in shares.")
    baselines: dict[str, int] = Field(
        description="What simple methods forecast, in shares: the last volume, means over so many days, an "
        "exponentially weighted mean (ewma), a heterogeneous autoregression (har)."
    )
    change: float | None = Field(
        description="The forecast against the mean of the last 20 days: 0.5 is half as much again; null where it is 0."
    )
    as_of: date = Field(description="The symbol's last trading day: the forecast knows nothing later.")
    forecast_for: date = Field(description="The next trading day after it, by the exchange's calendar.")
    status: Literal["present", "stale"] = Field(description="stale: the symbol's rows end before the newest ones do.")
    stale_days: int = Field(description="Calendar days from `as_of` to the newest `as_of` of all symbols.")
    version: str = Field(description="The version of the model that forecast.")


class Forecasts:
    """The file of forecasts, in order of Symbol; all of it is by the model `version`."""

    def __init__(self, columns: Columns, said: Mapping[str, str]) -> None:
        self.version = said.get("model", "unknown")
        self._columns = columns
        self._places = {symbol: place for place, symbol in enumerate(columns["Symbol"].tolist())}
        self.newest: date | None = columns["as_of"].max().item() if self._places else None
        with np.errstate(divide="ignore", invalid="ignore"):
            change: NDArray[np.float64] = columns["forecast"] / columns["baseline_mean_20"] - 1
        self._change = np.where(np.isfinite(change), change, np.nan)

    def __len__(self) -> int:
        return len(self._places)

    def of(self, symbol: str, name: str | None) -> Forecast | None:
        """The forecast of a symbol as it is spelt in the file; None where there is none."""
        place = self._places.get(symbol)
        return None if place is None else Forecast(**self._rows([place], {symbol: name})[0])

    def first(self, count: int, sort: str, names: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """The first forecasts in an order, one of `ORDERS`, with "-" before it from the largest; each as a `Forecast`.

        Symbols that are equal in it, or have no such number, come in their own order, the latter last.
        """
        return self._rows(self._order(sort)[:count].tolist(), names)

    def _order(self, sort: str) -> NDArray[np.intp]:
        by = sort.removeprefix("-")
        if by == "symbol":
            order = np.arange(len(self))
            return order[::-1] if sort != by else order
        values = self._change if by == "change" else self._columns[by]
        return np.argsort(values if sort == by else -values, kind="stable")

    def _rows(self, places: Sequence[int], names: Mapping[str, str | None]) -> list[dict[str, Any]]:
        columns = {name: values[places].tolist() for name, values in self._columns.items()}
        changes = self._change[places].tolist()
        rows = []
        for row, symbol in enumerate(columns["Symbol"]):
            assert self.newest  # there is a row  # noqa: S101
            stale_days = (self.newest - columns["as_of"][row]).days
            rows.append(
                {
                    "symbol": symbol,
                    "name": names.get(symbol),
                    "forecast": columns["forecast"][row],
                    "low": columns["low"][row],
                    "high": columns["high"][row],
                    "baselines": {name: columns[f"baseline_{name}"][row] for name in BASELINES},
                    "change": None if np.isnan(changes[row]) else changes[row],
                    "as_of": columns["as_of"][row],
                    "forecast_for": columns["forecast_for"][row],
                    "status": "stale" if stale_days else "present",
                    "stale_days": stale_days,
                    "version": self.version,
                }
            )
        return rows


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A header and a line for each forecast; the baselines are columns of their own."""
    text = io.StringIO()
    lines = csv.DictWriter(text, _SCHEMA.names, lineterminator="\n")
    lines.writeheader()
    lines.writerows(map(_flat, rows))
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The same columns as a Parquet file."""
    flat = [_flat(row) for row in rows]
    columns = [to_arrow([row[field.name] for row in flat], field.type) for field in _SCHEMA]
    packed = io.BytesIO()
    with pq.ParquetWriter(packed, _SCHEMA, compression="zstd") as file:
        file.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
    return packed.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    baselines = {f"baseline_{name}": value for name, value in row["baselines"].items()}
    return {name: value for name, value in row.items() if name != "baselines"} | baselines


_SCHEMA = pa.schema(
    {
        "symbol": pa.string(),
        "name": pa.string(),
        "as_of": pa.date32(),
        "forecast_for": pa.date32(),
        **dict.fromkeys(VOLUMES, pa.int64()),
        "change": pa.float64(),
        "status": pa.string(),
        "stale_days": pa.int64(),
        "version": pa.string(),
    }
)
