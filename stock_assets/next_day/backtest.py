"""The back-test: every forecast of the test window beside what came, in memory and as Parquet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.evaluation import Group, liquidity, years
from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import Forecast
from stock_assets.learning.rows import KINDS
from stock_assets.learning.split import Days
from stock_assets.next_day.rows import Picked
from stock_assets.publishing import staged
from stock_assets.statements import run


class Backtest(NamedTuple):
    """n rows by letter, symbol and day: volumes in shares. `symbol` is the place of each row's symbol in `symbols`."""

    symbols: list[str]
    symbol: NDArray[np.intp]
    letter: NDArray[np.intp]
    is_etf: NDArray[np.bool_]
    days: Days
    mean: Array
    actual: Array
    forecast: Forecast
    baselines: dict[str, Array]

    @classmethod
    def of(cls, picked: Picked, forecast: Forecast, baselines: dict[str, Array]) -> "Backtest":
        symbol = picked.series.symbol_at(picked.places)
        return cls(
            symbols=picked.series.symbols,
            symbol=symbol,
            letter=np.full(len(symbol), LETTERS.index(picked.letter)),
            is_etf=picked.series.is_etf[symbol],
            days=picked.rows.days,
            mean=picked.rows.mean,
            actual=picked.rows.volume,
            forecast=forecast,
            baselines=baselines,
        )

    @classmethod
    def joined(cls, parts: Sequence["Backtest"]) -> "Backtest":
        offsets = np.cumsum([0, *(len(part.symbols) for part in parts)])
        return cls(
            symbols=[symbol for part in parts for symbol in part.symbols],
            symbol=np.concatenate([part.symbol + offset for part, offset in zip(parts, offsets, strict=False)]),
            letter=np.concatenate([part.letter for part in parts]),
            is_etf=np.concatenate([part.is_etf for part in parts]),
            days=np.concatenate([part.days for part in parts]),
            mean=np.concatenate([part.mean for part in parts]),
            actual=np.concatenate([part.actual for part in parts]),
            forecast=Forecast._make(
                np.concatenate(values) for values in zip(*(p.forecast for p in parts), strict=True)
            ),
            baselines={name: np.concatenate([part.baselines[name] for part in parts]) for name in parts[0].baselines},
        )

    def groups(self) -> dict[str, Group]:
        """The partitions that errors are reported by."""
        return {
            "liquidity": liquidity(self.mean),
            "kind": Group(self.is_etf.astype(np.intp), KINDS),
            "year": years(self.days),
            "letter": Group(self.letter, LETTERS),
        }


def volume_columns(forecast: Forecast, baselines: dict[str, Array]) -> dict[str, NDArray[np.int64]]:
    """What is published of forecasts, in whole shares: an interval is rounded outwards."""
    own = {
        "forecast": np.rint(forecast.point),
        "low": np.floor(forecast.low),
        "high": np.ceil(forecast.high),
    }
    others = {f"baseline_{name}": np.rint(values) for name, values in baselines.items()}
    return {name: values.astype(np.int64) for name, values in (own | others).items()}


@contextmanager
def write_backtest(connection: DuckDBPyConnection, layout: Layout, tested: Backtest) -> Iterator[None]:
    """Publish the back-test as one Parquet file if the block succeeds."""
    path = layout.next_day("backtest")
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as temporary:
        connection.register("backtest_symbols", {"Symbol": np.array(tested.symbols, dtype=object)})
        connection.register(
            "backtest_rows",
            {"place": tested.symbol, "as_of": tested.days.astype("datetime64[us]"), "actual": tested.actual}
            | volume_columns(tested.forecast, tested.baselines),
        )
        run(connection, "models/next_day_export_backtest", path=str(temporary))
        yield
