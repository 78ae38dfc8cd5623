"""From published features to arrays: labels, the market of a day and thinned windows, against pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stock_assets.errors import UserError
from stock_assets.layout import LETTERS, Layout
from stock_assets.next_day.rows import (
    HISTORY,
    INPUTS,
    MARKET_INPUTS,
    MEANS,
    OWN_INPUTS,
    Picked,
    Series,
    Window,
    read_last_rows,
    read_windows,
)
from stock_assets.next_day.sessions import INPUTS as SESSION_INPUTS
from stock_assets.next_day.sessions import session_inputs
from tests.next_day.markets import build, prices, read_features, source_of, usual_market

ALWAYS = np.datetime64("1900-01-01"), np.datetime64("2100-01-01")
WINDOW = np.datetime64("2015-03-02"), np.datetime64("2016-02-26")


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The usual market with holes: of a day, of seven days, of eight, and of months."""
    frames = usual_market(400)
    friday = frames["stocks/AA"].index[frames["stocks/AA"]["Date"].dt.day_of_week == 4]
    frames["stocks/AA"] = frames["stocks/AA"].drop(index=[101, *range(200, 280)])
    # A Friday to the Friday after it, and to the Monday after that.
    frames["stocks/AB"] = frames["stocks/AB"].drop(index=range(friday[20] + 1, friday[21]))
    frames["etfs/AC"] = frames["etfs/AC"].drop(index=range(friday[20] + 1, friday[21] + 1))
    return build(tmp_path_factory.mktemp("gappy"), frames)


def read(
    layout: Layout, window: tuple[np.datetime64, np.datetime64] = ALWAYS, limit: int | None = None
) -> list[Picked]:
    with source_of(layout) as source:
        return list(read_windows(source, Window(*window, limit)))


def table_of(found: list[Picked]) -> pd.DataFrame:
    """Symbol, date and label of picked rows."""
    parts = [
        pd.DataFrame(
            {
                "Symbol": np.array(picked.series.symbols)[picked.series.symbol_at(picked.places)],
                "Date": picked.rows.days.astype("datetime64[us]"),
                "label": picked.rows.volume,
            }
        )
        for picked in found
    ]
    return pd.concat(parts, ignore_index=True)


def labels(features: pd.DataFrame, longest: str = "7D") -> pd.DataFrame:
    """The volume of the same symbol's next row, if that is no more than a week later; rows without one are left out."""
    by_symbol = features.groupby("Symbol")
    gap = by_symbol["Date"].shift(-1) - features["Date"]
    label = by_symbol["Volume"].shift(-1).where(gap <= pd.Timedelta(longest))
    table = features.assign(label=label)[features["history"] >= HISTORY]
    return table.dropna(subset="label")[["Symbol", "Date", "label"]].reset_index(drop=True)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["Symbol", "Date"], ignore_index=True)


def test_labels_are_the_volumes_of_the_next_trading_day(gappy: Layout) -> None:
    features = read_features(gappy)
    expected = labels(features)

    pd.testing.assert_frame_equal(in_order(table_of(read(gappy))), expected, check_dtype=False)
    assert len(labels(features, "6D")) == len(expected) - 1
    assert len(labels(features, "10D")) == len(expected) + 1


def test_a_window_has_the_rows_of_its_days_both_included(gappy: Layout) -> None:
    expected = labels(read_features(gappy))
    inside = expected["Date"].between(*(pd.Timestamp(day) for day in (WINDOW[0], WINDOW[0] + 90)))
    found = table_of(read(gappy, (WINDOW[0], WINDOW[0] + 90)))

    assert found["Date"].min() == pd.Timestamp(WINDOW[0])
    pd.testing.assert_frame_equal(in_order(found), expected[inside].reset_index(drop=True), check_dtype=False)


def test_the_label_by_hand() -> None:
    days = np.array(["2020-01-02", "2020-01-03", "2020-01-10", "2020-01-18", "2020-01-02", "2020-01-03"], "M8[D]")
    series = Series(["A", "B"], np.zeros(2, bool), np.array([0, 4]), days, np.array([1.0, 2, 3, 4, 5, 6]))
    single = Series(["A"], np.zeros(1, bool), np.array([0]), days[:1], np.array([1.0]))

    np.testing.assert_array_equal(series.next_volume(), [2, 3, np.nan, np.nan, 6, np.nan])
    np.testing.assert_array_equal(single.next_volume(), [np.nan])
    assert series.symbol_at(np.arange(6)).tolist() == [0, 0, 0, 0, 1, 1]


def test_inputs_are_the_columns_the_market_and_the_session(usual: Layout) -> None:
    features = read_features(usual).set_index(["Symbol", "Date"])
    for picked in read(usual, WINDOW):
        keys = table_of([picked])
        wanted = features.loc[pd.MultiIndex.from_frame(keys[["Symbol", "Date"]])]
        found = dict(zip(INPUTS, picked.rows.inputs.T, strict=True))

        for name in OWN_INPUTS:
            np.testing.assert_array_equal(found[name], wanted[name].to_numpy(), err_msg=name)
        for name, values in zip(SESSION_INPUTS, session_inputs(picked.rows.days).T, strict=True):
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        np.testing.assert_array_equal(found["lag_0_less_market"], found["lag_0"] - found["market_surprise"])
        offset = wanted["log_mean_20"].astype(float) + wanted["ewma"].astype(float)
        np.testing.assert_array_equal(picked.rows.offset, offset)
        np.testing.assert_array_equal(picked.rows.log_mean, wanted["log_mean_20"].astype(float))
        np.testing.assert_array_equal(picked.rows.mean, wanted["mean_30"])
        for name in MEANS:
            np.testing.assert_array_equal(picked.means[name], wanted[name])


def market_of(features: pd.DataFrame) -> pd.DataFrame:
    """The market of each day, as means over the symbols that have enough history."""
    listed = features[features["history"] >= HISTORY]
    by_day = listed.astype(dict.fromkeys(OWN_INPUTS, float)).groupby("Date")
    surprise = by_day["lag_0"].mean()
    return pd.DataFrame(
        {
            "rows": by_day.size(),
            "market_surprise": surprise,
            "market_surprise_change": surprise.diff(),
            "market_surprise_lag_1": surprise.shift(1),
            "market_surprise_lag_4": surprise.shift(4),
            **{
                f"market_{name}": by_day[name].mean() for name in ("level_5", "level_60", "z_score", "move", "move_abs")
            },
            "market_shares": np.log((1 + by_day["Volume"].sum()) / (1 + by_day["mean_20"].sum())),
        }
    )


def test_the_market_of_a_day_is_that_of_pandas(gappy: Layout) -> None:
    expected = market_of(read_features(gappy))
    with source_of(gappy) as source:
        market = source.market

    np.testing.assert_array_equal(market.days, expected.index.to_numpy().astype("datetime64[D]"))
    np.testing.assert_array_equal(market.rows, expected["rows"])
    for place, name in enumerate(MARKET_INPUTS):
        np.testing.assert_allclose(market.inputs[:, place], expected[name], rtol=1e-5, atol=3e-6, err_msg=name)
    np.testing.assert_array_equal(market.inputs[:, len(MARKET_INPUTS) :], session_inputs(market.days))


def test_the_market_is_that_of_all_letters_whatever_their_order(usual: Layout) -> None:
    """A row's market does not hang on the letter that it is read with, nor on threads."""
    found = {}
    for threads in (1, 2):
        with source_of(usual) as source:
            source.connection.execute(f"SET threads = {threads}")
            found[threads] = [picked.rows.inputs for picked in read_windows(source, Window(*WINDOW))]

    for one, two in zip(found[1], found[2], strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("every", [2, 5])
def test_thinning_keeps_one_in_some_rows_of_every_symbol_and_year(usual: Layout, every: int) -> None:
    everything = table_of(read(usual))
    with source_of(usual) as source:
        rows = int(source.market.rows.sum())
    thinned = table_of(read(usual, limit=-(-rows // every)))
    kept = everything.merge(thinned, how="left", indicator="side")["side"] == "both"
    by_symbol = kept.groupby([everything["Symbol"], everything["Date"].dt.year])
    expected = by_symbol.size() / every

    assert kept.sum() == len(thinned)
    assert (np.abs(by_symbol.sum() - expected) <= 4.5 * np.sqrt(expected)).all()
    assert abs(len(thinned) - len(everything) / every) < 4.5 * np.sqrt(len(everything) / every)


def test_a_large_limit_keeps_all_rows(usual: Layout) -> None:
    pd.testing.assert_frame_equal(table_of(read(usual, WINDOW, 10**9)), table_of(read(usual, WINDOW)))


def test_last_rows_are_those_of_symbols_with_enough_history(gappy: Layout) -> None:
    features = read_features(gappy)
    last = features.groupby("Symbol").tail(1)
    expected = last[last["history"] >= HISTORY][["Symbol", "Date"]].reset_index(drop=True)
    with source_of(gappy) as source:
        found = table_of(list(read_last_rows(source)))

    pd.testing.assert_frame_equal(in_order(found)[["Symbol", "Date"]], expected, check_dtype=False)
    assert found["label"].isna().all()
    assert "LATE" not in set(found["Symbol"])


def test_series_tell_letters_symbols_and_kinds(usual: Layout) -> None:
    found = {picked.letter: picked.series for picked in read(usual, WINDOW)}

    assert list(found) == [letter for letter in LETTERS if usual.parquet("next_day_features", letter).exists()]
    assert found["A"].symbols == ["AA", "AB", "AC", "AD"]
    assert found["A"].is_etf.tolist() == [False, False, True, False]
    assert found["B"].is_etf.tolist() == [False, True, False, False]
    for series in found.values():
        assert (np.diff(series.days)[np.setdiff1d(np.arange(len(series.days) - 1), series.starts[1:] - 1)] > 0).all()


def test_a_letter_of_young_symbols_gives_no_rows(usual: Layout) -> None:
    (young,) = [picked for picked in read(usual) if picked.letter == "L"]

    assert young.series.symbols == ["LATE"]
    assert young.rows.inputs.shape == (0, len(INPUTS))


def test_zero_volumes_give_finite_offsets_and_labels(tmp_path: Path) -> None:
    frame = prices(1, 120).assign(Volume=0)
    frame.loc[90:, "Volume"] = 100
    (picked,) = read(build(tmp_path, {"stocks/Z": frame}))

    assert np.isfinite(picked.rows.offset).all()
    assert np.isfinite(picked.rows.label()).all()
    assert (picked.rows.volume[:60] == 0).all()


def test_features_without_enough_history_are_an_error_in_one_line(tmp_path: Path) -> None:
    layout = build(tmp_path, {"stocks/A": prices(1, 29)})

    with pytest.raises(UserError, match="30 rows"), source_of(layout):
        pass
