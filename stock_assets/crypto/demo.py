"""Generated crypto assets: random walks with restless volatility, which nothing can forecast.

The last day of the second one is there twice, as a download in the middle of a day leaves it.
"""

from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

ASSETS = {"alder": 0.4, "beacon": 30.0}
"""Names, and the price of the first day."""
DAYS = 1500
FIRST_DAY = np.datetime64("2018-01-01")


def write_assets(folder: Path, seed: int) -> None:
    """Write a price file for each asset into an empty folder; the same seed gives the same bytes."""
    for place, (name, price) in enumerate(ASSETS.items()):
        lines = _lines(price, default_rng(SeedSequence(seed, spawn_key=(3, place))))
        if place == 1:
            lines.append(lines[-1])
        text = "".join(f"{line}\n" for line in ("date,price,volume,marketCap", *lines))
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="\n")


def _lines(first_price: float, rng: Generator) -> list[str]:
    from scipy.signal import lfilter  # noqa: PLC0415 - half a second that only the demo should wait

    turmoil = lfilter([1], [1, -0.97], 0.12 * rng.standard_normal(DAYS))
    returns = 0.03 * np.exp(turmoil) * rng.standard_t(5, DAYS) * 0.6**0.5
    price = first_price * np.exp(np.cumsum(returns) - returns[0])
    supply = 1e9 * (1 + np.arange(DAYS) / DAYS)
    flow = lfilter([1], [1, -0.9], 0.2 * rng.standard_normal(DAYS))
    volume = 0.05 * price * supply * np.exp(flow + 0.5 * turmoil + 4 * np.abs(returns))
    days = FIRST_DAY + np.arange(DAYS)
    rows = zip(days, price.tolist(), volume.tolist(), (price * supply).tolist(), strict=True)
    return [f"{day},{','.join(f'{value:.12g}' for value in values)}" for day, *values in rows]
