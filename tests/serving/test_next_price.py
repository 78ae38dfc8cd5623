"""`/next-price`: what is published of crypto assets' next-day prices, with what it is worth."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.serving.published_tables import write

NEWEST = date(2022, 2, 2)
DAYS = {"algo": 40, "Big/Coin": 3, "beta": 45, "gamma": 40, "young": 5}
"""Days of each asset up to `NEWEST`; of `beta` the last but one is missing."""
VERSION = "20220203T000000000000-abcdef01"
HEADER = "X-Model-Version"


def scores(mae: float, skill: float, low: float, high: float) -> dict[str, Any]:
    direction = {"days": 1234, "share": 0.51, "low": 0.48, "high": 0.54}
    return {
        "rows": 1234,
        "mae": mae,
        "rmse": mae * 2,
        "skill": skill,
        "skill_interval": [low, high],
        "direction": direction,
    }


def told(version: str = VERSION) -> dict[str, Any]:
    """`algo` errs more than its price of the day, `beta` less by chance, `gamma` less; `young` was not measured."""
    walk = scores(0.0674, 0, 0, 0)
    assets = {
        "algo": scores(0.0677, -0.004, -0.017, 0.01),
        "beta": scores(0.0670, 0.006, -0.01, 0.02),
        "gamma": scores(0.0505, 0.25, 0.2, 0.3),
    }
    return {
        "version": version,
        "candidate": "ridge_returns",
        "promoted": False,
        "baseline": "random_walk",
        "skill": -0.004,
        "skill_interval": [-0.017, 0.01],
        "test": {"from": "2022-01-20", "to": "2022-02-01", "rows": 99},
        "direction": walk["direction"],
        "verdict": "Of all assets this.",
        "assets": {name: {"model": one, "random_walk": walk} for name, one in assets.items()},
    }


def table() -> pl.DataFrame:
    return pl.concat([_rows(asset) for asset in sorted(DAYS)])


def _rows(asset: str) -> pl.DataFrame:
    """Prices 1, 2, 3...; each predicted to rise by a quarter, but in the first 30 days. Half of the days were seen."""
    rows = [
        {
            "asset": asset,
            "date": NEWEST - timedelta(DAYS[asset] - 1 - place),
            "price": 1.0 + place,
            "rsi": 60.0 + place if place >= 14 else None,
            "prediction": 1.25 + place if place >= 30 else None,
            "forecast_for": NEWEST - timedelta(DAYS[asset] - 2 - place),
            "seen_in": "training" if place < 35 else "test",
            "beats_random_walk": asset == "gamma",
        }
        for place in range(DAYS[asset])
        if not (asset == "beta" and place == DAYS[asset] - 2)
    ]
    return pl.DataFrame(rows, schema_overrides={"rsi": pl.Float64, "prediction": pl.Float64})


def publish(data_dir: Path, frame: pl.DataFrame, **metadata: str) -> None:
    write(frame, Layout(data_dir).crypto("next_price_predictions"), **metadata)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service over the predictions alone: no model, no market."""
    data_dir = tmp_path_factory.mktemp("data")
    publish(data_dir, table(), model=json.dumps(told()), source="folder")
    with TestClient(create_app(Settings(data_dir=data_dir))) as client:
        yield client


def test_the_last_row_of_an_asset_is_its_forecast(asked: TestClient) -> None:
    response = asked.get("/next-price/ALGO")
    assert (response.status_code, response.headers[HEADER]) == (200, VERSION)
    assert response.json() == {
        "asset": "algo",
        "as_of": "2022-02-02",
        "price": 40.0,
        "rsi": 99.0,
        "forecast_for": "2022-02-03",
        "prediction": 40.25,
        "baseline": 40.0,
        "beats_random_walk": False,
        "note": "It does not beat \"tomorrow's price is today's\": on 1,234 days that the model had not seen its mean "
        "error was 0.06770, that of today's price 0.06740.",
        "metrics": {
            "from": "2022-01-20",
            "to": "2022-02-01",
            "days": 1234,
            "mae": 0.0677,
            "rmse": 0.1354,
            "baseline_mae": 0.0674,
            "baseline_rmse": 0.1348,
            "skill": -0.004,
            "skill_interval": [-0.017, 0.01],
        },
        "direction": {"days": 1234, "share": 0.51, "low": 0.48, "high": 0.54},
        "candidate": "ridge_returns",
        "promoted": False,
        "version": VERSION,
        "source": "folder",
    }


def test_the_note_says_by_how_much_it_is_better_or_that_it_may_be_chance(asked: TestClient) -> None:
    beta, gamma = (asked.get(f"/next-price/{asset}").json() for asset in ("beta", "gamma"))
    days, baseline = "on 1,234 days that the model had not seen it saved", "\"tomorrow's price is today's\""
    assert (beta["beats_random_walk"], gamma["beats_random_walk"]) == (False, True)
    chance = "0.6 % of its error (95 % interval -1.0 % to +2.0 %), which may be chance"
    assert beta["note"] == f"It is not shown to beat {baseline}: {days} {chance}."
    assert gamma["note"] == f"O{days[1:]} 25.0 % (95 % interval +20.0 % to +30.0 %) of the error of {baseline}."


def test_an_asset_without_a_prediction_or_measurements_says_so(asked: TestClient) -> None:
    answer = asked.get("/next-price/young").json()
    assert [answer[name] for name in ("rsi", "prediction", "metrics", "direction")] == [None] * 4
    assert (answer["price"], answer["baseline"], answer["beats_random_walk"]) == (5.0, 5.0, False)
    assert answer["note"].startswith("There is no prediction")


def test_a_predicted_asset_that_was_not_measured_says_so(tmp_path: Path) -> None:
    publish(tmp_path, _rows("algo"), model=json.dumps(told() | {"assets": {}}))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        answer = client.get("/next-price/algo").json()
    assert (answer["prediction"], answer["metrics"], answer["source"]) == (40.25, None, "unknown")
    assert answer["note"].startswith("Nothing shows that this beats")


@pytest.mark.parametrize(
    ("mae", "shown"), [(0.0000123456, "0.00001235"), (12345.6, "12,346"), (0.5, "0.5000"), (0, "0")]
)
def test_errors_of_any_size_are_readable(tmp_path: Path, mae: float, shown: str) -> None:
    facts = told()
    facts["assets"]["algo"]["model"]["mae"] = mae
    publish(tmp_path, _rows("algo"), model=json.dumps(facts))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        assert f"its mean error was {shown}, that" in client.get("/next-price/algo").json()["note"]


def test_the_list_has_all_assets_in_short(asked: TestClient) -> None:
    response = asked.get("/next-prices")
    answer = response.json()
    newest = table().group_by("asset", maintain_order=True).last()
    columns = ["asset", "as_of", "price", "rsi", "forecast_for", "prediction", "beats_random_walk"]
    rows = newest.rename({"date": "as_of"}).with_columns(pl.col(pl.Date).cast(pl.String)).select(columns).to_dicts()
    assert answer.pop("assets") == rows
    assert response.headers[HEADER] == VERSION
    assert answer == {
        "version": VERSION,
        "candidate": "ridge_returns",
        "promoted": False,
        "source": "folder",
        "verdict": "Of all assets this.",
    }


def test_the_history_has_for_each_day_what_the_day_before_predicted(asked: TestClient) -> None:
    response = asked.get("/next-price/Algo/history?days=11")
    answer = response.json()
    places = range(29, 40)
    assert response.headers[HEADER] == VERSION
    assert answer["days"] == {
        "date": [str(NEWEST - timedelta(39 - place)) for place in places],
        "price": [1.0 + place for place in places],
        "prediction": [None, None, *(0.25 + place for place in places[2:])],
        "trained_on": [place - 1 < 35 for place in places],
    }
    assert answer["forecast"] == asked.get("/next-price/algo").json()


def test_the_first_day_and_one_after_a_missing_day_were_not_predicted(asked: TestClient) -> None:
    days = asked.get("/next-price/beta/history?days=5000").json()["days"]
    assert [len(values) for values in days.values()] == [44] * 4
    assert (days["date"][-2:], days["price"][-2:]) == (["2022-01-31", "2022-02-02"], [43.0, 45.0])
    assert days["prediction"][-2:] == [42.25, None]
    assert (days["prediction"][0], days["trained_on"][0]) == (None, False)


@pytest.mark.parametrize("path", ["/next-price/alg", "/next-price/alg/history"])
def test_an_unknown_asset_is_not_found_and_known_ones_are_named_the_likest_first(asked: TestClient, path: str) -> None:
    response = asked.get(path)
    assert response.status_code == 404
    answer = response.json()
    assert (answer["status"], answer["known"][0], sorted(answer["known"])) == ("not_found", "algo", sorted(DAYS))
    assert answer["detail"] == f"there is no crypto asset 'alg'; known: {', '.join(answer['known'])}"


def test_the_known_assets_of_a_large_folder_are_not_all_named(tmp_path: Path) -> None:
    many = pl.concat([_rows("young").with_columns(asset=pl.lit(f"coin{number:02}")) for number in range(50)])
    publish(tmp_path, many, model=json.dumps(told()))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        known = client.get("/next-price/coin7").json()["known"]
        assert (len(known), len(client.get("/next-prices").json()["assets"])) == (20, 50)
    assert "coin07" in known[:10]


def test_assets_that_differ_in_case_alone_are_told_apart(tmp_path: Path) -> None:
    both = pl.concat(
        [_rows("young").with_columns(asset=pl.lit(name), price=price) for name, price in (("A", 1.0), ("a", 2.0))]
    )
    publish(tmp_path, both, model=json.dumps(told()))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        assert [client.get(f"/next-price/{name}").json()["price"] for name in "Aa"] == [1.0, 2.0]


@pytest.mark.parametrize("path", ["algo/history?days=0", "algo/history?days=5001", "algo/history?days=x", "a" * 65])
def test_what_is_out_of_bounds_is_refused(asked: TestClient, path: str) -> None:
    assert asked.get(f"/next-price/{path}").status_code == 422


@pytest.mark.parametrize("path", ["/next-prices", "/next-price/algo", "/next-price/algo/history"])
def test_before_the_first_run_the_answer_says_what_to_run(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 503
    assert response.json()["detail"] == (
        "the published table next_price_predictions is not there yet; run the crypto pipeline "
        "(stock-assets run --select 'crypto_prices*')"
    )


@pytest.mark.parametrize("metadata", [{}, {"model": "{"}, {"model": '{"version": "1"}'}])
def test_a_file_that_does_not_say_which_model_made_it_is_not_believed(tmp_path: Path, metadata: dict[str, str]) -> None:
    publish(tmp_path, table(), **metadata)
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        response = client.get("/next-price/algo")
    assert response.status_code == 503
    assert "does not say what made it; run the crypto pipeline" in response.json()["detail"]


def test_an_empty_file_has_no_assets(tmp_path: Path) -> None:
    publish(tmp_path, table().clear(), model=json.dumps(told()))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        assert client.get("/next-prices").json()["assets"] == []
        assert client.get("/next-price/algo").json()["known"] == []


def test_a_new_file_answers_at_once_with_its_own_version(tmp_path: Path) -> None:
    publish(tmp_path, table(), model=json.dumps(told()))
    with TestClient(create_app(Settings(data_dir=tmp_path))) as client:
        assert client.get("/next-price/algo").headers[HEADER] == VERSION
        publish(tmp_path, table().with_columns(prediction=7.0), model=json.dumps(told("another")))
        response = client.get("/next-price/algo")
    answer = response.json()
    assert (response.headers[HEADER], answer["version"], answer["prediction"]) == ("another", "another", 7.0)


def test_reading_imports_nothing_large(tmp_path: Path) -> None:
    publish(tmp_path, table(), model=json.dumps(told()))
    program = (
        "import sys; from pathlib import Path;"
        "from stock_assets.layout import Layout; from serving.market import Market;"
        f"print(Market(Layout(Path({str(tmp_path)!r}))).next_prices.get().history('algo', 5).forecast.version);"
        "print([name for name in ('pandas', 'pyarrow.dataset', 'duckdb', 'sklearn', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [VERSION, "[]"]
