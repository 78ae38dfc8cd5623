"""The demo market: reproducible, complete with its oddities, and shaped like a market."""

import csv
import hashlib
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_assets.ingest import demo, demo_oddities
from stock_assets.ingest.snapshot import META_FILE
from stock_assets.layout import LETTERS, PRICE_COLUMNS, letter_of

LATEST = date(2018, 12, 31)


def write(root: Path, files: int, start: date = LATEST, seed: int = 7, threads: int = 2) -> Path:
    root.mkdir(exist_ok=True)
    demo.write_market(root, files, start, seed, threads)
    return root


def price_files(root: Path) -> list[Path]:
    return sorted([*root.glob("stocks/*"), *root.glob("etfs/*")])


def read(path: Path) -> pd.DataFrame:
    """The cells as text; none of them is taken for a missing value."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def numbers(path: Path) -> pd.DataFrame:
    return read(path).drop(columns="Date").astype(float)


def symbol_of(path: Path) -> str:
    return path.name.removesuffix(".csv")


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("market"), 300, date(1980, 1, 2))


@pytest.fixture(scope="module")
def ordinary(market: Path) -> list[Path]:
    odd = {market / file for file in demo_oddities.ODDITIES}
    return [path for path in price_files(market) if path not in odd]


@pytest.fixture(scope="module")
def histories(ordinary: list[Path]) -> list[pd.DataFrame]:
    return [pd.read_csv(path, parse_dates=["Date"]) for path in ordinary]


@pytest.fixture(scope="module", params=[date(1962, 1, 2), LATEST], ids=str)
def smallest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("smallest"), 30, request.param)


def test_bytes_depend_on_neither_threads_nor_run(tmp_path: Path) -> None:
    trees = [digests(write(tmp_path / str(threads), 60, threads=threads)) for threads in (1, 2, 5)]

    assert trees[0] == trees[1] == trees[2]


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    one, other = (write(tmp_path / str(seed), 30, seed=seed) for seed in (1, 2))

    assert (one / "stocks/T.csv").read_bytes() != (other / "stocks/T.csv").read_bytes()


@settings(max_examples=8, deadline=None)
@given(files=st.integers(30, 60), seed=st.integers(0, 2**64))
def test_gives_the_files_asked_for(files: int, seed: int) -> None:
    with TemporaryDirectory() as folder:
        paths = price_files(write(Path(folder), files, seed=seed))

    symbols = {symbol_of(path).upper() for path in paths}
    assert len(paths) == len(symbols) == files
    assert {letter_of(symbol) for symbol in symbols} == set(LETTERS)


@pytest.mark.parametrize(("files", "start"), [(29, LATEST), (30, date(2019, 1, 1))])
def test_refuses_a_market_too_small_for_the_oddities(tmp_path: Path, files: int, start: date) -> None:
    with pytest.raises(ValueError, match="a demo market"):
        write(tmp_path, files, start)


def test_a_failure_stops_the_work(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        raise InterruptedError(f"{done} of {total}")

    with pytest.raises(InterruptedError, match="100 of 2000"):
        demo.write_market(tmp_path, 2000, LATEST, seed=7, threads=2, progress=fail)

    assert len(price_files(tmp_path)) < 1000


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    demo.write_market(tmp_path, 130, LATEST, 7, 2, lambda done, total: calls.append((done, total)))

    assert calls == [(100, 130), (130, 130)]


def test_files_are_written_as_the_real_ones(ordinary: list[Path]) -> None:
    for path in ordinary[:20]:
        text = path.read_bytes()
        assert text.startswith(",".join(PRICE_COLUMNS).encode() + b"\n")
        assert text.endswith(b"\n")
        assert b"\r" not in text
        table = read(path)
        assert list(table.columns) == list(PRICE_COLUMNS)
        assert table["Volume"].str.fullmatch(r"\d+").all()
        closes = table["Close"].astype(float).astype(np.float32).astype(float)
        assert [repr(close) for close in closes] == table["Close"].to_list()


def test_ordinary_prices_are_consistent(histories: list[pd.DataFrame]) -> None:
    table = pd.concat(histories)
    traded = table[table["Open"] > 0]

    assert table[["Low", "Adj Close"]].min().min() > 0
    assert (table["Low"] <= table["Close"]).all()
    assert (table["High"] >= table["Close"]).all()
    assert (traded["Low"] <= traded["Open"]).all()
    assert (traded["High"] >= traded["Open"]).all()


def test_ordinary_days_are_trading_days_in_order(histories: list[pd.DataFrame]) -> None:
    days = pd.concat(histories)["Date"]

    assert all(table["Date"].is_monotonic_increasing for table in histories)
    assert all(table["Date"].is_unique for table in histories)
    assert all(table["Date"].iloc[-1] == pd.Timestamp("2020-04-01") for table in histories)
    assert days.min() == pd.Timestamp("1980-01-02")
    assert (days.dt.day_of_week < 5).all()
    assert not days.isin(pd.to_datetime(["1999-01-01", "2019-07-04", "2019-11-28", "2019-12-25"])).any()


def test_scale_is_that_of_the_real_dataset(market: Path) -> None:
    paths = price_files(market)
    rows = {path: max(0, path.read_bytes().count(b"\n") - 1) for path in paths}

    assert 3_100 < np.mean(list(rows.values())) < 3_900
    assert 0.2 < len(list(market.glob("etfs/*"))) / len(paths) < 0.4
    assert {letter_of(symbol_of(path)) for path in paths if rows[path] > 30} == set(LETTERS)


def test_volume_is_skewed_and_remembers(histories: list[pd.DataFrame]) -> None:
    volume = pd.concat([table["Volume"] for table in histories])
    average = pd.concat([table["Volume"].rolling(30).mean() for table in histories])
    day_before = pd.concat([table["Volume"].shift() for table in histories])

    def error(predicted: pd.Series) -> float:
        return float((volume - predicted).abs().mean())

    errors = {multiple: error(multiple * average) for multiple in (0.8, 0.85, 0.9, 0.95, 1.0)}
    assert 0.02 < (volume == 0).mean() < 0.07
    assert min(errors, key=errors.__getitem__) in {0.85, 0.9}
    assert 0.95 < min(errors.values()) / errors[1.0] < 0.98
    assert error(0.5 * average + 0.5 * day_before) < 0.9 * errors[1.0]


def test_odd_symbols_have_files_with_rows(smallest: Path) -> None:
    for symbol in demo_oddities.ODD_SYMBOLS:
        assert len(read(smallest / "stocks" / f"{symbol}.csv")) >= 250


def test_files_without_rows(smallest: Path) -> None:
    assert (smallest / demo_oddities.EMPTY_FILE).read_bytes() == b""
    assert (smallest / demo_oddities.HEADER_ONLY_FILE).read_text() == ",".join(PRICE_COLUMNS) + "\n"


def test_short_files(smallest: Path) -> None:
    assert len(read(smallest / demo_oddities.ONE_ROW_FILE)) == 1
    assert 1 < len(read(smallest / demo_oddities.SHORT_FILE)) < 30


def test_blank_rows_make_volumes_floats(smallest: Path) -> None:
    table = read(smallest / demo_oddities.BLANK_ROWS_FILE)
    blank = (table.drop(columns="Date") == "").all(axis=1)

    assert blank.sum() == 4
    assert (table["Date"] != "").all()
    assert table.loc[~blank, "Volume"].str.fullmatch(r"\d+\.0").all()


def test_blank_row_comes_before_the_full_row_of_its_date(smallest: Path) -> None:
    table = read(smallest / demo_oddities.BLANK_THEN_FULL_FILE)
    blank, full = table[table["Date"].duplicated(keep=False)].to_numpy()

    assert set(blank[1:]) == {""}
    assert "" not in full


def test_two_full_rows_of_one_date_differ(smallest: Path) -> None:
    table = read(smallest / demo_oddities.DUPLICATE_DATE_FILE)
    one, other = table[table["Date"].duplicated(keep=False)].to_numpy()

    assert "" not in {*one, *other}
    assert (one[1:] != other[1:]).all()


def test_weekend_rows(smallest: Path) -> None:
    days = pd.to_datetime(read(smallest / demo_oddities.WEEKEND_FILE)["Date"])

    assert (days.dt.day_of_week >= 5).sum() == 2
    assert days.is_monotonic_increasing


def test_one_high_below_its_low(smallest: Path) -> None:
    table = numbers(smallest / demo_oddities.HIGH_BELOW_LOW_FILE)

    assert (table["High"] < table["Low"]).sum() == 1


def test_zero_opens_and_volumes(smallest: Path) -> None:
    table = numbers(smallest / demo_oddities.ZERO_OPENS_FILE)

    assert (table["Open"] == 0).sum() >= 59
    assert (table["Volume"] == 0).sum() >= 20


def test_adjusted_closes_beyond_reason(smallest: Path) -> None:
    negative = numbers(smallest / demo_oddities.NEGATIVE_ADJ_CLOSE_FILE)["Adj Close"]
    huge = numbers(smallest / demo_oddities.HUGE_ADJ_CLOSE_FILE)["Adj Close"]

    assert (negative < 0).any()
    assert (negative == 0).any()
    assert negative.iloc[-1] > 0
    assert huge.max() == 1e8


def test_volumes_beyond_32_bits(smallest: Path) -> None:
    volumes = read(smallest / demo_oddities.HUGE_VOLUME_FILE)["Volume"].astype(int)

    assert volumes.max() == demo_oddities.BEYOND_UINT32 > 2**32
    assert volumes.between(2**31, 2**32).sum() == 2


def test_meta_file(smallest: Path) -> None:
    with (smallest / META_FILE).open(encoding="utf-8", newline="") as file:
        rows = {row["NASDAQ Symbol"]: row for row in csv.DictReader(file)}
    symbols = {symbol_of(path) for path in price_files(smallest)}

    assert tuple(rows["T"]) == demo.META_COLUMNS
    assert symbols - rows.keys() == set(demo.SYMBOLS_WITHOUT_NAME)
    assert rows.keys() - symbols == set(demo.NAMES_WITHOUT_FILE)
    assert rows["AGM-A"]["Symbol"] == "AGM$A"
    assert rows["CARR#"]["Symbol"] == "CARR.V"
    names = [row["Security Name"] for row in rows.values()]
    assert any("," in name for name in names)
    assert any(name.endswith(" ") for name in names)
