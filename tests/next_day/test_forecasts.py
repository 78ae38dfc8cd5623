"""The forecasts of the next session by the promoted model: their rows, their numbers, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import lightgbm
import numpy as np
import pandas as pd
import pytest

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.evaluation import LIQUIDITY_EDGES, LIQUIDITY_LABELS
from stock_assets.next_day import forecasts
from stock_assets.next_day.forecasts import Published
from stock_assets.next_day.rows import INPUTS, joined, read_last_rows
from stock_assets.statements import run
from stock_assets.versions import Trained
from tests.helpers import litter
from tests.next_day.markets import (
    build,
    forecast,
    load,
    make,
    prices,
    publish_features,
    read,
    read_features,
    source_of,
    write_frames,
)

Known = tuple[Layout, Trained]
BASELINES = ["last", "mean_5", "mean_20", "mean_30", "ewma", "har"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]


@pytest.fixture(scope="module")
def table(made: tuple[Layout, Published]) -> pd.DataFrame:
    return read(made[0])


def test_there_is_one_row_for_each_symbol_with_enough_history(
    made: tuple[Layout, Published], table: pd.DataFrame
) -> None:
    layout, published = made
    last = read_features(layout).groupby("Symbol").tail(1)
    expected = last[last["history"] >= 30]

    assert table["Symbol"].tolist() == expected["Symbol"].tolist()
    assert table["as_of"].tolist() == expected["Date"].tolist()
    assert "LATE" not in set(table["Symbol"])
    assert (published.rows, published.path) == (len(table), layout.next_day("forecasts"))


def test_columns_are_days_and_whole_shares(made: tuple[Layout, Published], table: pd.DataFrame) -> None:
    volumes = ["forecast", "low", "high", *(f"baseline_{name}" for name in BASELINES)]
    with duckdb.connect() as connection:
        rows = connection.execute("DESCRIBE FROM read_parquet($path)", {"path": str(made[0].next_day("forecasts"))})
        types = {row[0]: row[1] for row in rows.fetchall()}

    assert list(table.columns) == ["Symbol", "as_of", "forecast_for", *volumes]
    assert types == {"Symbol": "VARCHAR", "as_of": "DATE", "forecast_for": "DATE"} | dict.fromkeys(volumes, "BIGINT")


def test_they_are_for_the_session_after_the_last_day(tmp_path: Path, own: Layout) -> None:
    """The usual market ends on a Friday before a Monday; one symbol's last day is that before Good Friday."""
    market = own.data_dir.parent / "market"
    load(own, write_frames(market, {"stocks/BD": prices(20, 130, "2015-10-01").query("Date <= '2016-03-24'")}))
    publish_features(own)
    published = forecast(own)
    table = read(own).set_index("Symbol")
    dates = pd.to_datetime(table["as_of"]), pd.to_datetime(table["forecast_for"])

    assert (str(dates[0]["BD"].date()), str(dates[1]["BD"].date())) == ("2016-03-24", "2016-03-28")
    assert (str(dates[0]["AA"].date()), str(dates[1]["AA"].date())) == ("2017-06-16", "2017-06-19")
    assert (published.as_of, published.newest) == ("2017-06-16", len(table) - 1)


def test_numbers_are_those_of_the_boosters_by_hand(
    made: tuple[Layout, Published], trained: Known, table: pd.DataFrame
) -> None:
    """From the published features and texts alone, with the rows' inputs as they are tested elsewhere."""
    layout, folder, manifest = made[0], trained[1].folder, trained[1].manifest
    features = read_features(layout).set_index(["Symbol", "Date"])
    last = features.loc[list(zip(table["Symbol"], table["as_of"], strict=True))]
    with source_of(layout) as source:
        found = list(read_last_rows(source))
    symbols = [part.series.symbols[place] for part in found for place in part.series.symbol_at(part.places)]
    inputs = pd.DataFrame(joined(found).inputs, index=symbols, columns=INPUTS)
    inputs = inputs.loc[table["Symbol"]].to_numpy()
    offset = (last["log_mean_20"].astype(float) + last["ewma"].astype(float)).to_numpy()
    point, low, high = (
        offset + lightgbm.Booster(model_file=folder / name).predict(inputs)
        for name in ("model.txt", "low.txt", "high.txt")
    )
    bucket = [LIQUIDITY_LABELS[sum(mean >= edge for edge in LIQUIDITY_EDGES)] for mean in last["mean_30"]]
    margin = np.array([manifest["margins"][label] for label in bucket])

    np.testing.assert_array_equal(table["forecast"], np.rint(np.expm1(point)))
    np.testing.assert_array_equal(table["low"], np.floor(np.expm1(np.minimum(low - margin, point))))
    np.testing.assert_array_equal(table["high"], np.ceil(np.expm1(np.maximum(high + margin, point))))


def test_baselines_are_those_that_the_manifest_gives(
    made: tuple[Layout, Published], trained: Known, table: pd.DataFrame
) -> None:
    fitted, features = trained[1].manifest["baselines"], read_features(made[0])
    last = features.groupby("Symbol").tail(1).set_index("Symbol").loc[table["Symbol"]]
    logs = np.log1p(features["Volume"].astype(float)).groupby(features["Symbol"])
    smoothed = logs.apply(lambda values: values.ewm(alpha=fitted["ewma"]["alpha"], adjust=False).mean().iloc[-1])
    har = last["log_mean_20"].astype(float) + fitted["har"]["constant"]
    for name in ("log_mean_20", "lag_0", "level_5", "level_60"):
        har += last[name].astype(float) * fitted["har"][name]

    assert table["baseline_last"].tolist() == last["Volume"].tolist()
    for rows in (5, 20, 30):
        np.testing.assert_array_equal(table[f"baseline_mean_{rows}"], np.rint(last[f"mean_{rows}"]))
    np.testing.assert_allclose(table["baseline_ewma"], np.expm1(smoothed.loc[table["Symbol"]]), atol=0.51)
    np.testing.assert_allclose(table["baseline_har"], np.expm1(har), atol=0.51)


def test_intervals_hold_their_forecast(table: pd.DataFrame) -> None:
    assert (table["low"] >= 0).all()
    assert (table["low"] <= table["forecast"]).all()
    assert (table["forecast"] <= table["high"]).all()
    assert (table["low"] < table["high"]).all()


def test_the_file_says_which_model_made_it(made: tuple[Layout, Published], trained: Known) -> None:
    with duckdb.connect() as connection:
        said = connection.execute(
            "SELECT decode(key), decode(value) FROM parquet_kv_metadata($p)",
            {"p": str(made[0].next_day("forecasts"))},
        ).fetchall()

    assert ("model", trained[1].version) in said
    assert made[1].version == trained[1].version


def test_the_sample_is_the_first_rows_as_they_were_read(made: tuple[Layout, Published], table: pd.DataFrame) -> None:
    first = made[1].sample[0]
    row = table[table["Symbol"] == first["symbol"]].iloc[0]

    assert len(made[1].sample) == min(20, len(table))
    assert first["as of"] == str(row["as_of"].date())
    assert {name: first[name] for name in ("forecast", "low", "high")} == {
        name: int(row[name]) for name in ("forecast", "low", "high")
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_they_repeat_with_any_number_of_threads(made: tuple[Layout, Published], own: Layout, threads: int) -> None:
    forecast(own, threads)

    assert own.next_day("forecasts").read_bytes() == made[0].next_day("forecasts").read_bytes()
    assert own.next_day("explanations").read_bytes() == made[0].next_day("explanations").read_bytes()


def test_a_symbol_that_is_never_traded_gets_finite_forecasts(own: Layout) -> None:
    frames = {"stocks/NIL": prices(60, 100, "2017-01-30").assign(Volume=0)}
    load(own, write_frames(own.data_dir.parent / "market", frames))
    publish_features(own)
    forecast(own)
    (row,) = read(own).query("Symbol == 'NIL'").to_dict("records")

    assert 0 <= row["low"] <= row["forecast"] <= row["high"]
    assert row["baseline_last"] == row["baseline_ewma"] == row["baseline_mean_30"] == 0


def published_folder(layout: Layout) -> Path:
    pointer = json.loads((layout.models / "next_day_model" / "latest.json").read_bytes())
    return layout.models / "next_day_model" / str(pointer["path"])


def edit_manifest(layout: Layout, **facts: Any) -> None:
    path = published_folder(layout) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | facts), "utf-8")


@pytest.mark.parametrize("name", ["model.txt", "low.txt", "high.txt"])
@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_a_model_that_was_changed_is_refused(own: Layout, name: str, fault: str) -> None:
    path = published_folder(own) / name
    if fault == "changed":
        path.write_bytes(path.read_bytes().replace(b"shrinkage=0", b"shrinkage=1"))
    else:
        path.unlink()

    with pytest.raises(UserError, match=r"materialize next_day_model") as error:
        forecast(own)
    assert name in str(error.value)
    assert not own.next_day("forecasts").exists()


def test_a_model_of_other_inputs_is_refused(own: Layout) -> None:
    edit_manifest(own, inputs=list(INPUTS[:-1]))

    with pytest.raises(UserError, match="has other inputs than next_day_features: materialize next_day_model"):
        forecast(own)


def test_without_a_promoted_version_it_says_so(own: Layout) -> None:
    (own.models / "next_day_model" / "latest.json").unlink()

    with pytest.raises(UserError, match="no version of next_day_model is promoted"):
        forecast(own)


def test_features_of_other_prices_are_refused(own: Layout) -> None:
    load(own, write_frames(own.data_dir.parent / "market", {"stocks/AD": prices(50)}))

    with pytest.raises(UserError, match="next_day_features of A do not fit combined"):
        forecast(own)


def test_features_without_enough_history_are_refused(own: Layout, tmp_path: Path) -> None:
    young = build(tmp_path / "young", {"stocks/A": prices(1, 20)})
    shutil.copytree(own.models, young.models)

    with pytest.raises(UserError, match="no symbol of next_day_features has 30 rows"):
        forecast(young)


@pytest.mark.parametrize("stopped_at", ["models/next_day_export_forecasts", "models/next_day_export_explanations"])
def test_an_interrupted_write_leaves_the_old_files(
    own: Layout, monkeypatch: pytest.MonkeyPatch, stopped_at: str
) -> None:
    forecast(own)
    paths = [own.next_day("forecasts"), own.next_day("explanations")]
    before = [path.read_bytes() for path in paths]

    def write_and_stop(connection: Any, name: str, **parameters: Any) -> None:
        run(connection, name, **parameters | {"version": "another"})
        if name == stopped_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(forecasts, "run", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        forecast(own)
    assert [path.read_bytes() for path in paths] == before
    assert litter(own.data_dir) == []


def test_an_older_version_forecasts_again_after_a_rollback(own: Layout) -> None:
    """It is the pointer that decides, not the newest folder."""
    first = published_folder(own).name
    pointer = own.models / "next_day_model" / "latest.json"
    before = pointer.read_bytes()
    second = make(own, train_share=0.6).version
    assert (second != first, forecast(own).version) == (True, second)
    pointer.write_bytes(before)

    assert forecast(own).version == first
