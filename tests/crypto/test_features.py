"""Features of crypto prices, against numbers worked by hand, numpy, and TA-Lib."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib

from tests.crypto.conftest import lines_of, walk, write

WILDER = (10, 12, 11, 13, 13, 10, 14, 15, 15, 11, 12, 14, 13, 16, 17, 14, 16)
"""Changes: +2 -1 +2 0 -3 +4 +1 0 -4 +1 +2 -1 +3 +1 -3 +2. The first 14 gain 16 and lose 9."""


def test_rsi_of_a_short_series_is_as_worked_by_hand(build: Any, tmp_path: Path) -> None:
    rsi = build(write(tmp_path / "a.csv", lines_of(WILDER))).feature("rsi")
    gains = [16 / 14, 13 * (16 / 14) / 14, (13 * (13 * (16 / 14) / 14) + 2) / 14]
    losses = [9 / 14, (13 * (9 / 14) + 3) / 14, 13 * (13 * (9 / 14) + 3) / 14 / 14]

    assert np.isnan(rsi[:14]).all()
    assert rsi[14] == pytest.approx(64.0, abs=1e-12)
    np.testing.assert_allclose(
        rsi[14:], [100 - 100 / (1 + gain / loss) for gain, loss in zip(gains, losses, strict=True)]
    )


@pytest.mark.parametrize(("step", "rsi"), [(0, 50), (1, 100), (-1, 0)])
def test_rsi_of_prices_that_do_not_move_or_only_one_way(build: Any, tmp_path: Path, step: int, rsi: float) -> None:
    found = build(write(tmp_path / "a.csv", lines_of(50 + step * np.arange(20)))).feature("rsi")

    assert set(found[14:]) == {rsi}


def test_rsi_is_that_of_talib(build: Any, tmp_path: Path) -> None:
    prices = walk(900, 5)
    write(tmp_path / "in/a.csv", lines_of(prices))
    built = build(write(tmp_path / "in/b.csv", lines_of(prices[::-1][:300])).parent)

    wanted = np.concatenate([talib.RSI(prices, 14), talib.RSI(np.ascontiguousarray(prices[::-1][:300]), 14)])
    np.testing.assert_allclose(built.feature("rsi"), wanted, rtol=0, atol=1e-9)


def test_rsi_of_real_prices_is_that_of_talib(build: Any, real_file: Path) -> None:
    built = build(real_file)
    prices = built.feature("price")

    assert len(prices) > 500
    np.testing.assert_allclose(built.feature("rsi"), talib.RSI(prices, 14), rtol=0, atol=1e-9)


def test_the_other_features_are_those_of_numpy(build: Any, tmp_path: Path) -> None:
    prices = walk(80, 6)
    built = build(write(tmp_path / "a.csv", lines_of(prices)))
    volumes, log = 1000.0 + np.arange(80), np.log(prices)

    def mean(values: Any, days: int) -> Any:
        return np.array([values[day - days + 1 : day + 1].mean() if day >= days - 1 else np.nan for day in range(80)])

    def back(days: int) -> Any:
        return np.concatenate([np.full(days, np.nan), log[days:] - log[:-days]])

    deviation = [np.diff(log[day - 30 : day + 1]).std(ddof=1) if day >= 30 else np.nan for day in range(80)]
    wanted = {
        "return_1": back(1),
        "return_1_before": np.concatenate([[np.nan], back(1)[:-1]]),
        "return_7": back(7),
        "return_30": back(30),
        "price_to_mean_7": np.log(prices / mean(prices, 7)),
        "price_to_mean_30": np.log(prices / mean(prices, 30)),
        "volume_to_mean_30": np.log(volumes / mean(volumes, 30)),
        "deviation_30": deviation,
        "next_price": np.append(prices[1:], np.nan),
        "next_return": np.append(np.diff(log), np.nan),
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(built.feature(name), values, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_day_before_a_hole_has_no_next_price(build: Any, tmp_path: Path) -> None:
    lines = lines_of([1, 2, 3, 4, 5])
    next_price = build(write(tmp_path / "a.csv", lines[:2] + lines[3:])).feature("next_price")

    np.testing.assert_array_equal(next_price, [2, np.nan, 5, np.nan])


def test_no_feature_knows_what_comes_later(build: Any, tmp_path: Path) -> None:
    prices = walk(120, 7)
    before = build(write(tmp_path / "a.csv", lines_of(prices)))
    names = [name for (name,) in before.query("SELECT column_name FROM (DESCRIBE crypto_features)")][2:-2]
    kept = {name: before.feature(name)[:90] for name in names}
    before.connection.execute(
        "UPDATE crypto_prices SET price = price * 3, volume = volume * 5 WHERE date >= '2020-03-31'"
    )

    for name in names:
        np.testing.assert_array_equal(before.feature(name)[:90], kept[name], err_msg=name)
    assert len(names) == 12
