"""Synthetic rows of the two-input model."""

import numpy as np

from stock_assets.learning.rows import VolumeRows
from stock_assets.learning.split import split_by_date

DAYS, SYMBOLS = 500, 16


def market(days: int = DAYS, symbols: int = SYMBOLS) -> VolumeRows:
    """Right-skewed volume around its moving average, less of it where prices are high."""
    rng = np.random.default_rng(5)
    count = days * symbols
    average, price = rng.lognormal(12, 1, count), rng.lognormal(3, 1, count)
    volume = np.floor(average * rng.lognormal(-0.3, 0.6, count) * np.where(price > 20, 0.6, 1.2))
    dates = np.repeat(np.busday_offset("2015-01-05", np.arange(days)), symbols)
    symbol = np.tile(np.arange(symbols), days)
    inputs = np.column_stack([average, price])
    return VolumeRows(dates, volume, inputs, (symbol % 27).astype(np.uint8), symbol % 4 == 0)


def with_quiet_days(rows: VolumeRows) -> VolumeRows:
    """The same with days without trading, and with rows whose whole window has none."""
    volume, inputs = rows.volume.copy(), rows.inputs.copy()
    volume[1::10] = 0
    volume[::10], inputs[::10, 0] = 0, 0
    return rows._replace(volume=volume, inputs=inputs)


ROWS = market()
SPLIT = split_by_date(ROWS.days, 0.7, 0.15)
