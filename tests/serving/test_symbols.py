from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.symbols import Symbols
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.serving.published_tables import NAMES, NEWEST, ROWS, backtest, features, publish, symbols, write


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service over the tables, without a model."""
    data_dir = tmp_path_factory.mktemp("data")
    publish(data_dir)
    with TestClient(create_app(Settings(data_dir=data_dir))) as client:
        yield client


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["AAA", "AAB", "ABC.A", "NEW", "ZED"]),
        ("aab", ["AAB"]),
        ("A", ["AAA", "AAB", "ABC.A", "ZED"]),  # symbols that begin so, then a word that does
        ("abc.", ["ABC.A"]),
        ("al", ["AAA", "ZED"]),
        ("BANK", ["AAB"]),
        ("gamma bank", ["AAB"]),
        ("beta & gamma", ["AAB"]),
        ("bacus", ["ABC.A"]),  # within a word
        ("common", ["AAA"]),
        ("new", ["NEW"]),  # has no name
        ("&", []),
        ("nothing so", []),
        ("é\0\n", []),
    ],
)
def test_a_search_finds_symbols_and_names_best_first(market: TestClient, query: str, found: list[str]) -> None:
    answer = market.get("/symbols", params={"q": query})
    assert answer.status_code == 200
    assert [symbol["symbol"] for symbol in answer.json()] == found


def test_the_symbol_itself_comes_before_others_that_begin_so() -> None:
    names = {"SPYG": "Growth", "SP": "Other", "SPY": "Trust", "AA": "Spy Makers", "AB": "Respy Inc.", "AC": "spyglass"}
    listed = [{"Symbol": symbol, "Security Name": names[symbol]} for symbol in sorted(names)]
    assert [symbol.symbol for symbol in _symbols(listed).search(" sPy ", 20)] == ["SPY", "SPYG", "AA", "AC", "AB"]


def test_a_symbol_is_told_with_its_name_and_days(market: TestClient) -> None:
    first = str(NEWEST - timedelta(59))
    assert market.get("/symbols", params={"q": "abc.a"}).json() == [
        {
            "symbol": "ABC.A",
            "name": "Abacus ETF",
            "is_etf": True,
            "first_date": first,
            "last_date": str(NEWEST),
            "rows": 60,
        }
    ]
    assert [symbol["symbol"] for symbol in market.get("/symbols?limit=2").json()] == ["AAA", "AAB"]


@pytest.mark.parametrize("parameters", ["limit=0", "limit=201", "limit=x", "q=" + "a" * 101])
def test_a_search_beyond_its_limits_is_refused(market: TestClient, parameters: str) -> None:
    assert market.get(f"/symbols?{parameters}").status_code == 422


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("AAC", ["AAA", "AAB"]),  # one letter changed
        ("ABCA", ["ABC.A"]),  # left out
        ("ABC-A", ["ABC.A"]),
        ("ezd", ["ZED"]),  # exchanged
        ("newt", ["NEW"]),  # one too many
        ("Abacus", ["ABC.A"]),  # a name
        ("Alpaka", ["ZED"]),  # a word of a name with a slip
        ("QQQQQ", []),
        ("\0", []),
        ("x" * 32, []),
    ],
)
def test_an_unknown_symbol_is_404_with_symbols_that_may_be_meant(
    market: TestClient, asked: str, near: list[str]
) -> None:
    answer = market.get(f"/symbols/{quote(asked)}/history")
    assert answer.status_code == 404
    problem = answer.json()
    assert problem["status"] == "not_found"
    assert repr(asked) in problem["detail"]
    assert [symbol["symbol"] for symbol in problem["near"]] == near


def test_symbols_that_differ_in_case_only_are_told_apart() -> None:
    found = _symbols([{"Symbol": "ABC"}, {"Symbol": "abc"}])
    assert [found.find(asked).symbol for asked in ("ABC", "abc")] == ["ABC", "abc"]


def test_a_history_has_the_last_days_as_polars_finds_them(market: TestClient) -> None:
    answer = market.get("/symbols/abc.a/history?days=40").json()
    rows = features().filter(pl.col("Symbol") == "ABC.A").tail(40)
    assert answer["symbol"] == "ABC.A"
    assert answer["name"] == NAMES["ABC.A"]
    assert answer["days"] == {
        "date": [str(day) for day in rows["Date"]],
        "close": rows["Adj Close"].to_list(),
        "volume": rows["Volume"].to_list(),
        "vol_moving_avg": rows["vol_moving_avg"].to_list(),
    }
    assert answer["days"]["vol_moving_avg"][:9] == [None] * 9  # 29 of 60 rows, of which the last 40 are shown


def test_a_back_test_stands_at_the_day_that_was_forecast(market: TestClient) -> None:
    for days, first in ((40, 20), (60, 1), (2000, 1)):
        shown = market.get(f"/symbols/AAA/history?days={days}").json()["backtest"]
        rows = features().filter(pl.col("Symbol") == "AAA")
        volume = rows["Volume"].to_list()
        assert shown["date"] == [str(day) for day in rows["Date"][first:]]
        assert shown["actual"] == volume[first:]
        assert shown["forecast"] == volume[first - 1 : -1]  # the volume of the day before
        assert shown["low"] == [one - 100 for one in shown["forecast"]]
        assert shown["high"] == [one + 100 for one in shown["forecast"]]


def test_a_back_test_of_days_that_are_no_rows_is_left_out(tmp_path: Path) -> None:
    layout = publish(tmp_path)
    strange = backtest().with_columns(
        as_of=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("as_of") - pl.duration(days=200)).otherwise("as_of")
    )
    write(strange.sort("Symbol", "as_of"), layout.next_day("backtest"))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        shown = client.get("/symbols/AAA/history").json()["backtest"]
    assert len(shown["date"]) == 29
    assert shown["date"][:2] == [str(NEWEST - timedelta(57)), str(NEWEST - timedelta(55))]


def test_a_history_carries_the_forecast(market: TestClient) -> None:
    assert market.get("/symbols/AAB/history").json()["forecast"] == market.get("/forecast/AAB").json()
    new = market.get("/symbols/new/history").json()
    assert new["forecast"] is None
    assert new["name"] is None
    assert len(new["days"]["date"]) == ROWS["NEW"]
    assert new["backtest"] == {"date": [], "forecast": [], "low": [], "high": [], "actual": []}


def test_a_price_that_is_no_number_is_null(tmp_path: Path) -> None:
    layout = publish(tmp_path)
    price = pl.when(pl.col("Date") == NEWEST).then(float("nan")).otherwise("Adj Close")
    strange = features().filter(pl.col("Symbol") == "ZED").with_columns(price.alias("Adj Close"))
    write(strange, layout.parquet("features", "Z"))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        assert client.get("/symbols/ZED/history?days=2").json()["days"]["close"][1] is None


@pytest.mark.parametrize("days", ["0", "2001", "-1", "x"])
def test_a_history_has_from_one_day_to_2000(market: TestClient, days: str) -> None:
    assert market.get(f"/symbols/AAA/history?days={days}").status_code == 422


def test_prices_are_shown_before_there_is_a_next_day_model(tmp_path: Path) -> None:
    layout = publish(tmp_path)
    for name in ("forecasts", "backtest"):
        layout.next_day(name).unlink()  # type: ignore[arg-type]
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        answer = client.get("/symbols/AAA/history?days=3").json()
    assert len(answer["days"]["date"]) == 3
    assert (answer["forecast"], answer["backtest"]["date"]) == (None, [])


def test_nothing_published_is_503_until_it_is(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        for path in ("/symbols", "/symbols/AAA/history"):
            answer = client.get(path)
            assert answer.status_code == 503
            table = "the published table symbols is not there yet; run the pipeline (make run)"
            assert answer.json() == {"detail": table}
        write(symbols(), Layout(tmp_path).symbols)
        assert client.get("/symbols").status_code == 200
        assert "table features is not there yet" in client.get("/symbols/AAA/history").json()["detail"]
        publish(tmp_path)
        assert client.get("/symbols/AAA/history").status_code == 200


def _symbols(rows: list[dict[str, Any]]) -> Symbols:
    usual = {"Security Name": None, "is_etf": False, "first_date": NEWEST, "last_date": NEWEST, "rows": 1}
    frame = pl.DataFrame([usual | row for row in rows], schema_overrides={"Security Name": pl.String})
    columns = {name: np.array(frame[name].to_list(), object) for name in ("Symbol", "Security Name", "is_etf")}
    columns |= {name: np.array(frame[name].to_list(), "datetime64[D]") for name in ("first_date", "last_date")}
    return Symbols(columns | {"rows": frame["rows"].to_numpy()}, {})
