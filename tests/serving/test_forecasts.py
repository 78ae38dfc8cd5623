import csv
import io
import math
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from serving.forecasts import ORDERS
from stock_assets.layout import Layout
from tests.serving.conftest import INPUTS, Models, expected_volume, publish, sound_facts, train
from tests.serving.published_tables import NEWEST, VERSION, explanations, features, forecasts, write
from tests.serving.published_tables import publish as publish_tables

INTERVAL = {"nominal": 0.8, "edges": [], "low": [0.5], "high": [2.0]}


class Market(NamedTuple):
    """A service over the tables, with a promoted model and one of another level that is not."""

    client: TestClient
    promoted: str
    other: str


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    models = Models(tmp_path_factory.mktemp("data"))
    publish_tables(models.data_dir)
    booster = train(0.0)
    facts = sound_facts(booster) | {"interval": INTERVAL, "input_ranges": {INPUTS[0]: {"min": 0, "max": 10}}}
    promoted = publish(models.folder, booster.model_to_string(), facts)
    other, _ = models.publish(level=2.0)
    models.promote(promoted)
    with TestClient(models.app()) as client:
        yield Market(client, promoted, other)


def row_of(symbol: str, day: date) -> dict[str, Any]:
    """The symbol's last row up to a day, by polars."""
    return features().filter((pl.col("Symbol") == symbol) & (pl.col("Date") <= day)).row(-1, named=True)


def test_a_symbol_is_predicted_from_its_features_of_the_newest_day(market: Market) -> None:
    answer = market.client.get("/predict/aaa")
    row = row_of("AAA", NEWEST)
    inputs = {name: row[name] for name in INPUTS}
    volume = expected_volume(train(0.0), *inputs.values())
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == market.promoted
    found = answer.json()
    prediction = found.pop("prediction")
    assert found == {
        "symbol": "AAA",
        "name": "Alpha, Inc. - Common Stock",
        "date": "2020-06-30",
        "as_of": "2020-06-30",
        "status": "present",
        "stale_days": 0,
        "rows": 60,
        "rows_missing": 0,
        "features": inputs,
        "actual": row["Volume"],
        "version": market.promoted,
    }
    assert prediction["volume"] == volume
    assert math.isclose(prediction["low"], volume / 2, abs_tol=1)
    assert math.isclose(prediction["high"], volume * 2, abs_tol=2)
    assert prediction["warnings"] == ["vol_moving_avg is outside the range of training"]


@pytest.mark.parametrize(
    ("symbol", "day", "as_of", "status"),
    [
        ("AAA", "2020-06-10", "2020-06-10", "present"),
        ("AAA", "2020-07-04", "2020-06-30", "stale"),
        ("AAA", "9999-12-31", "2020-06-30", "stale"),
        ("AAB", None, "2020-06-25", "stale"),  # ends before the newest day of the data
        ("AAB", "2020-06-25", "2020-06-25", "present"),
        ("AAA", "2020-05-31", "2020-05-31", "present"),  # its 30th row: the first whole window
        ("AAA", "2020-05-30", "2020-05-30", "warm_up"),
        ("NEW", None, "2020-06-30", "warm_up"),
        ("NEW", "2020-07-02", "2020-06-30", "warm_up"),
    ],
)
def test_a_day_is_present_stale_or_in_the_warm_up(
    market: Market, symbol: str, day: str | None, as_of: str, status: str
) -> None:
    found = market.client.get(f"/predict/{symbol}", params={"date": day} if day else {}).json()
    assert (found["date"], found["as_of"]) == (day or str(NEWEST), as_of)
    assert found["status"] == status
    assert found["stale_days"] == (date.fromisoformat(day or str(NEWEST)) - date.fromisoformat(as_of)).days
    row = row_of(symbol, date.fromisoformat(as_of))
    assert found["features"] == {name: row[name] for name in INPUTS}
    assert found["actual"] == row["Volume"]
    assert (found["prediction"] is None) == (status == "warm_up")


def test_the_warm_up_tells_how_many_rows_there_are_and_are_missing(market: Market) -> None:
    found = market.client.get("/predict/new?date=2020-06-27").json()
    assert (found["rows"], found["rows_missing"]) == (7, 23)


def test_a_day_before_the_first_row_is_404_with_the_first_day(market: Market) -> None:
    answer = market.client.get("/predict/zed?date=2020-05-21")
    assert answer.status_code == 404
    problem = answer.json()
    assert (problem["status"], [one["symbol"] for one in problem["near"]]) == ("not_found", ["ZED"])
    assert problem["detail"].endswith("its first is of 2020-05-22")
    assert market.client.get("/predict/zed?date=2020-05-22").status_code == 200


def test_another_version_answers_if_it_is_asked_for(market: Market) -> None:
    answer = market.client.get("/predict/AAA", params={"version": market.other})
    row = row_of("AAA", NEWEST)
    assert answer.headers["x-model-version"] == answer.json()["version"] == market.other
    assert answer.json()["prediction"]["volume"] == expected_volume(train(2.0), *(row[name] for name in INPUTS))
    unknown = market.client.get("/predict/AAA?version=none")
    assert (unknown.status_code, set(unknown.json())) == (404, {"detail"})


def test_what_is_predicted_is_counted_and_a_warm_up_is_not(market: Market) -> None:
    def counted() -> float:
        labels = {"model": "volume_model", "version": market.promoted}
        return REGISTRY.get_sample_value("serving_predictions_total", labels) or 0

    before = counted()
    market.client.get("/predict/AAA")
    market.client.get("/predict/NEW")
    market.client.get("/predict/NONE")
    assert counted() == before + 1


@pytest.mark.parametrize(
    "day",
    [
        "1",
        "2020-6-1",
        "2020-02-30",
        "20200601",
        "2020-06-01T00:00:00",
        "",
        "0000-01-01",
        "2020-01-0\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_a_day_that_is_none_is_refused(market: Market, day: str) -> None:
    answer = market.client.get("/predict/AAA", params={"date": day})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "date"]


def test_a_price_below_zero_is_no_input(tmp_path: Path) -> None:
    models = Models(tmp_path)
    layout = publish_tables(tmp_path)
    models.promote(models.publish()[0])
    below = features().filter(pl.col("Symbol") == "ZED").with_columns(adj_close_rolling_med=-1.0)
    write(below, layout.parquet("features", "Z"))
    with TestClient(models.app()) as client:
        found = client.get("/predict/ZED").json()
    assert (found["status"], found["prediction"]) == ("present", None)
    assert found["features"]["adj_close_rolling_med"] == -1


def test_a_forecast_is_told_with_its_interval_and_baselines(market: Market) -> None:
    answer = market.client.get("/forecast/aaa")
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == VERSION
    assert answer.json() == {
        "symbol": "AAA",
        "name": "Alpha, Inc. - Common Stock",
        "forecast": 1500,
        "low": 1000,
        "high": 2000,
        "baselines": {"last": 1400, "mean_5": 1300, "mean_20": 1000, "mean_30": 1100, "ewma": 1200, "har": 1250},
        "change": 0.5,
        "as_of": "2020-06-30",
        "forecast_for": "2020-07-01",
        "status": "present",
        "stale_days": 0,
        "version": VERSION,
    }


def test_a_forecast_from_an_earlier_day_is_stale(market: Market) -> None:
    found = market.client.get("/forecast/AAB").json()
    assert (found["status"], found["stale_days"], found["as_of"]) == ("stale", 5, "2020-06-25")


def test_no_change_is_told_against_no_volume(market: Market) -> None:
    assert market.client.get("/forecast/ZED").json()["change"] is None


def test_a_symbol_without_a_forecast_is_404_with_the_reason(market: Market) -> None:
    for path in ("/forecast/new", "/explain/new"):
        answer = market.client.get(path)
        assert answer.status_code == 404
        assert answer.json()["detail"] == "there is no forecast of NEW yet: it has 10 trading days of 30"
    assert "run the pipeline" in market.client.get("/explain/AAB").json()["detail"]


@pytest.mark.parametrize("path", ["/predict/abca", "/forecast/abca", "/explain/abca"])
def test_an_unknown_symbol_is_404_with_near_ones(market: Market, path: str) -> None:
    answer = market.client.get(path)
    assert answer.status_code == 404
    assert [one["symbol"] for one in answer.json()["near"]] == ["ABC.A"]


@pytest.mark.parametrize("order", ORDERS)
def test_forecasts_are_sorted_by_any_number(market: Market, order: str) -> None:
    table = forecasts().rename({"Symbol": "symbol"})
    table = table.with_columns(change=pl.col("forecast") / pl.col("baseline_mean_20") - 1)
    table = table.with_columns(pl.when(pl.col("change").is_finite()).then("change"))
    for sort, falling in ((order, False), (f"-{order}", True)):
        found = market.client.get("/forecasts", params={"sort": sort}).json()["forecasts"]
        expected = table.sort(order, descending=falling, nulls_last=True, maintain_order=True)["symbol"].to_list()
        assert [one["symbol"] for one in found] == expected


def test_the_list_has_the_first_forecasts_as_they_are_told_alone(market: Market) -> None:
    answer = market.client.get("/forecasts?top=3")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-model-version"] == VERSION
    found = answer.json()
    assert (found["version"], found["as_of"], found["total"]) == (VERSION, "2020-06-30", 4)
    assert [one["symbol"] for one in found["forecasts"]] == ["ABC.A", "AAA", "AAB"]
    assert found["forecasts"] == [market.client.get(f"/forecast/{one['symbol']}").json() for one in found["forecasts"]]


def test_forecasts_come_as_csv_and_parquet_too(market: Market) -> None:
    listed = market.client.get("/forecasts?top=20000").json()["forecasts"]
    flat = [
        {name: value for name, value in one.items() if name != "baselines"}
        | {f"baseline_{name}": value for name, value in one["baselines"].items()}
        for one in listed
    ]
    as_csv = market.client.get("/forecasts?top=20000&format=csv")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_csv.headers["content-disposition"] == 'attachment; filename="forecasts.csv"'
    lines = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert lines == [{name: "" if value is None else str(value) for name, value in one.items()} for one in flat]
    as_parquet = market.client.get("/forecasts?top=20000&format=parquet")
    assert as_parquet.headers["content-type"] == "application/vnd.apache.parquet"
    assert as_parquet.headers["content-disposition"] == 'attachment; filename="forecasts.parquet"'
    assert as_parquet.headers["x-model-version"] == as_csv.headers["x-model-version"] == VERSION
    table = pl.read_parquet(as_parquet.content)
    assert table.schema["forecast_for"] == pl.Date
    assert table.with_columns(pl.col("as_of", "forecast_for").cast(pl.String)).to_dicts() == [
        {name: one[name] for name in table.columns} for one in flat
    ]
    assert set(table.columns) == set(flat[0])


@pytest.mark.parametrize(
    "parameters", ["top=0", "top=20001", "sort=name", "sort=--forecast", "sort=forecast%0A", "sort=", "format=xml"]
)
def test_a_list_that_there_is_not_is_refused(market: Market, parameters: str) -> None:
    assert market.client.get(f"/forecasts?{parameters}").status_code == 422


def test_an_explanation_adds_up_to_its_forecast(market: Market) -> None:
    answer = market.client.get("/explain/aaa")
    assert answer.headers["x-model-version"] == VERSION
    found = answer.json()
    assert [one["input"] for one in found["contributions"]] == ["gap", "lag_0", "age"]
    assert [one["value"] for one in found["contributions"]] == [None, 0.25, 3.0]
    np.testing.assert_allclose([one["factor"] for one in found["contributions"]], [3, 2 / 3, 1])
    assert (found["forecast"], found["level"], found["others"]) == (1500, 749.5, 1)
    product = math.prod(one["factor"] for one in found["contributions"])
    assert math.isclose((1 + found["level"]) * product, 1 + found["forecast"])
    assert (found["as_of"], found["forecast_for"], found["version"]) == ("2020-06-30", "2020-07-01", VERSION)
    assert found["summary"].startswith("1,500 shares are forecast for 2020-07-01. The symbol's own level is 750 shares")
    assert found["summary"].endswith("most of all gap by 3.00, lag_0 by 0.67, age by 1.00.")


def test_inputs_that_are_not_listed_are_told_as_one_factor(market: Market) -> None:
    found = market.client.get("/explain/AAA?top=1").json()
    assert [one["input"] for one in found["contributions"]] == ["gap"]
    assert math.isclose(found["others"], 2 / 3)


@pytest.mark.parametrize("top", ["0", "101", "x"])
def test_an_explanation_has_from_one_to_100_inputs(market: Market, top: str) -> None:
    assert market.client.get(f"/explain/AAA?top={top}").status_code == 422


def test_new_forecasts_and_explanations_come_with_their_own_version(tmp_path: Path) -> None:
    models, layout = Models(tmp_path), publish_tables(tmp_path)
    with TestClient(models.app()) as client:
        assert client.get("/forecast/AAA").json()["version"] == VERSION
        write(forecasts().with_columns(pl.col("forecast") + 1), layout.next_day("forecasts"), model="later")
        found = client.get("/forecast/AAA")
        assert (found.json()["forecast"], found.json()["version"], found.headers["x-model-version"]) == (
            1501,
            "later",
            "later",
        )
        assert client.get("/forecasts").json()["version"] == "later"
        # The explanations are still those of the version before: they say so.
        assert client.get("/explain/AAA").json()["version"] == VERSION
        write(explanations(), layout.next_day("explanations"), model="later")
        assert client.get("/explain/AAA").headers["x-model-version"] == "later"


def test_without_a_model_or_tables_the_answer_is_503_with_the_reason(tmp_path: Path) -> None:
    models, layout = Models(tmp_path), Layout(tmp_path)
    with TestClient(models.app()) as client:
        answer = client.get("/predict/AAA")
        assert (answer.status_code, "no volume_model" in answer.json()["detail"]) == (503, True)
        for path, missing in (
            ("/forecast/AAA", "symbols"),
            ("/explain/AAA", "symbols"),
            ("/forecasts", "next_day_forec"),
        ):
            answer = client.get(path)
            assert answer.status_code == 503
            assert f"the published table {missing}" in answer.json()["detail"]
        publish_tables(tmp_path)
        layout.next_day("explanations").unlink()
        assert "next_day_explanations is not there" in client.get("/explain/AAA").json()["detail"]
        assert client.get("/forecast/AAA").status_code == 200


def test_a_symbol_whose_features_are_not_there_yet_is_503(tmp_path: Path) -> None:
    models, layout = Models(tmp_path), publish_tables(tmp_path)
    models.promote(models.publish()[0])
    write(features().filter(pl.col("Symbol") == "AAA"), layout.parquet("features", "A"))
    with TestClient(models.app()) as client:
        answers = [client.get(path) for path in ("/predict/AAB", "/symbols/AAB/history")]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("the features of AAB are not there yet")


@given(symbol=st.text(min_size=1, max_size=40), day=st.none() | st.dates().map(str) | st.text(max_size=12))
def test_no_symbol_and_no_day_makes_the_service_fail(market: Market, symbol: str, day: str | None) -> None:
    path = "".join(f"%{byte:02x}" for byte in symbol.encode(errors="replace"))
    for route in ("/predict/{}", "/forecast/{}", "/explain/{}", "/symbols/{}/history"):
        answer = market.client.get(route.format(path), params={} if day is None else {"date": day})
        assert answer.status_code in {200, 404, 422}
        assert answer.json()


def test_a_day_can_be_years_before_or_after(market: Market) -> None:
    days = [NEWEST + timedelta(one) for one in (-20000, 20000)]
    assert [market.client.get(f"/predict/AAA?date={day}").status_code for day in days] == [404, 200]
