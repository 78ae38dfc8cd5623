"""The next-day model from features to a published version, and when it is kept, retrained or not promoted."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from stock_assets.errors import UserError
from stock_assets.experiments import Recorded, read_experiments
from stock_assets.layout import Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.next_day import model
from stock_assets.next_day.rows import INPUTS
from stock_assets.registry import read_pointer, verify
from stock_assets.settings import Settings
from stock_assets.versions import Trained
from tests.helpers import litter
from tests.next_day.markets import (
    build,
    load,
    make,
    prices,
    publish_features,
    read_features,
    shuffle_labels,
    usual_market,
    write_frames,
)

BASELINES = ["last", "mean_5", "mean_20", "mean_30", "ewma", "har"]
TEXTS = ("model.txt", "low.txt", "high.txt")
PICTURES = {
    "predicted_against_actual", "error_by_liquidity", "skill_by_model", "interval_calibration", "feature_importance",
    "input_drift",
}  # fmt: skip
Known = tuple[Layout, Trained]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]


def folder_of(layout: Layout) -> Path:
    return layout.models / "next_day_model"


def recorded(layout: Layout) -> list[Recorded]:
    return read_experiments(Settings(data_dir=layout.data_dir), "next_day_model")


def read_backtest(layout: Layout) -> pd.DataFrame:
    with duckdb.connect() as connection:
        return connection.execute("FROM read_parquet($path)", {"path": str(layout.next_day("backtest"))}).df()


@pytest.fixture
def own(usual: Layout, tmp_path: Path) -> Layout:
    """The usual market and its features, to be changed."""
    shutil.copytree(usual.data_dir.parent, tmp_path / "own")
    return Layout(tmp_path / "own" / "data")


@pytest.fixture
def with_model(trained: Known, tmp_path: Path) -> Layout:
    """The same with a promoted model."""
    shutil.copytree(trained[0].data_dir.parent, tmp_path / "own")
    return Layout(tmp_path / "own" / "data")


def test_a_version_is_a_folder_of_known_files(trained: Known) -> None:
    folder = trained[1].folder
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files - {"manifest.json"}}

    assert files == {*TEXTS, "model.pkl", "manifest.json", "metrics.json", "card.md", "card.html"} | {
        f"plots/{name}.png" for name in PICTURES
    }
    assert trained[1].manifest["files"] == hashes
    assert json.loads((folder / "manifest.json").read_bytes()) == trained[1].manifest
    assert litter(trained[0].data_dir) == []


def test_the_manifest_tells_what_the_model_is_made_of(trained: Known) -> None:
    layout, made = trained
    manifest, features = made.manifest, read_features(layout)

    assert (manifest["name"], manifest["version"], manifest["run_id"]) == ("next_day_model", made.version, "a-run")
    assert (manifest["inputs"], manifest["baseline"], manifest["nominal"]) == (list(INPUTS), "ewma", 0.8)
    assert manifest["data"]["letters"] == ["0", "A", "B", "L"]
    assert manifest["data"]["rows"] == (features["history"] >= 30).sum()
    assert manifest["data"]["until"] == str(features["Date"].max().date())
    assert (
        manifest["parameters"]["num_iterations"] == load_booster((made.folder / "model.txt").read_bytes()).num_trees()
    )
    assert set(manifest["margins"]) > {"1,000 to 10,000", "over 10 M"}
    assert set(manifest["baselines"]) == {"ewma", "har"}
    assert set(manifest["input_bins"]) <= set(INPUTS)
    assert {"python", "lightgbm", "holidays", "numpy", "duckdb"} <= set(manifest["libraries"])
    assert len(manifest["data"]["fingerprint"]) == len(manifest["method"]) == 64


def test_metrics_are_those_of_the_back_test(trained: Known) -> None:
    """Every number that a card shows can be had from the published forecasts, but for their rounding to shares."""
    layout, made = trained
    metrics, table = json.loads((made.folder / "metrics.json").read_bytes()), read_backtest(layout)
    errors = (table["forecast"] - table["next_volume"]).abs()

    assert metrics == made.manifest["metrics"]
    assert list(metrics["baselines"]) == list(metrics["skill"]) == list(metrics["skill_interval"]) == BASELINES
    assert metrics["test"]["rows"] == len(table)
    assert metrics["test"]["mae"] == pytest.approx(errors.mean(), rel=1e-4)
    for name in BASELINES:
        mae = (table[f"baseline_{name}"] - table["next_volume"]).abs().mean()
        assert metrics["skill"][name] == pytest.approx(1 - errors.mean() / mae, abs=1e-4)
        low, high = metrics["skill_interval"][name]
        assert low < metrics["skill"][name] < high
    assert made.skill == metrics["skill"]["ewma"]


def test_slices_are_those_of_the_back_test(trained: Known) -> None:
    layout, made = trained
    slices, table = made.manifest["metrics"]["slices"], read_backtest(layout)
    etf = table["Symbol"].isin(["AC", "BB"])

    assert set(slices) == {"liquidity", "kind", "year", "letter"}
    assert {label: found["rows"] for label, found in slices["kind"].items()} == {
        "stock": (~etf).sum(),
        "ETF": etf.sum(),
    }
    by_letter = table["Symbol"].str[0].replace("7", "0").value_counts()
    assert {label: found["rows"] for label, found in slices["letter"].items()} == by_letter.to_dict()
    assert {label: found["rows"] for label, found in slices["year"].items()} == {
        str(year): rows for year, rows in table["as_of"].dt.year.value_counts().items()
    }
    assert sum(found["rows"] for found in slices["liquidity"].values()) == len(table)
    errors = (table["forecast"] - table["next_volume"]).abs()
    assert slices["kind"]["ETF"]["mae"] == pytest.approx(errors[etf].mean(), rel=1e-4)


def test_the_interval_is_measured_as_it_is_published(trained: Known) -> None:
    layout, made = trained
    interval, table = made.manifest["metrics"]["interval"], read_backtest(layout)
    inside = table["next_volume"].between(table["low"], table["high"])

    assert interval["nominal"] == 0.8
    assert interval["coverage"] == inside.mean()
    assert 0.7 < interval["coverage"] < 0.9
    assert set(interval["by_liquidity"]) == set(made.manifest["metrics"]["slices"]["liquidity"])


def test_the_back_test_has_every_row_of_the_test_window(trained: Known) -> None:
    layout, made = trained
    features, table, split = read_features(layout), read_backtest(layout), made.manifest["metrics"]["split"]
    by_symbol = features.groupby("Symbol")
    week = by_symbol["Date"].shift(-1) - features["Date"] <= pd.Timedelta("7D")
    features["next_volume"] = by_symbol["Volume"].shift(-1).where(week)
    window = features["Date"].between(split["test_from"], split["test_to"]) & (features["history"] >= 30)
    expected = features[window].dropna(subset="next_volume").reset_index(drop=True)

    assert split["train_to"] < split["validation_from"] < split["validation_to"] < split["test_from"]
    assert list(table.columns) == [
        "Symbol", "as_of", "next_volume", "forecast", "low", "high", *(f"baseline_{name}" for name in BASELINES),
    ]  # fmt: skip
    assert table["Symbol"].tolist() == expected["Symbol"].tolist()
    assert table["as_of"].tolist() == expected["Date"].tolist()
    assert table["next_volume"].tolist() == expected["next_volume"].tolist()
    np.testing.assert_allclose(table["baseline_mean_20"], expected["mean_20"].round())
    assert (table["low"] <= table["forecast"]).all()
    assert (table["forecast"] <= table["high"]).all()


def test_the_card_tells_the_measurement(trained: Known) -> None:
    made = trained[1]
    card = (made.folder / "card.md").read_text("utf-8")

    assert card.startswith("# next_day_model\n")
    assert f"{made.skill * 100:+.1f}" in card
    assert all(f"plots/{name}.png" in card for name in PICTURES)
    assert (made.folder / "card.html").read_text("utf-8").count("data:image/png;base64,") == len(PICTURES)
    assert {picture.name for picture in made.pictures} == PICTURES


def test_the_pickle_predicts_what_the_texts_do(trained: Known) -> None:
    folder = trained[1].folder
    inputs = np.random.default_rng(1).normal(0, 1, (100, len(INPUTS)))
    pickled = pickle.loads((folder / "model.pkl").read_bytes())  # noqa: S301 - our own file

    assert list(pickled) == ["point", "low", "high"]
    for name, booster in zip(TEXTS, pickled.values(), strict=True):
        np.testing.assert_array_equal(
            booster.predict(inputs), load_booster((folder / name).read_bytes()).predict(inputs)
        )


def test_a_model_with_skill_is_promoted_and_recorded(trained: Known) -> None:
    layout, made = trained
    pointer = read_pointer(folder_of(layout))
    (row,) = recorded(layout)

    assert made.skill > 0.05
    assert (made.promoted, made.kept) == (True, None)
    assert pointer is not None
    assert (pointer.version, pointer.asset_key, pointer.run_id) == (made.version, "the/asset", "a-run")
    assert verify(folder_of(layout), pointer)[0] == made.manifest
    assert (row.version, row.promoted, row.run_id) == (made.version, True, "a-run")
    assert row.metrics == made.manifest["metrics"]
    assert (row.data_version, row.code_version) == (made.manifest["data"]["fingerprint"], made.manifest["method"])
    assert row.reason.startswith("promoted: ")


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_features_give_the_same_bytes(trained: Known, own: Layout, threads: int) -> None:
    """In another data folder, at another time, with other threads of DuckDB and of LightGBM."""
    made = make(own, threads=threads)
    same = ("margins", "baselines", "rows", "input_bins", "data", "metrics", "parameters")

    assert {name: made.manifest[name] for name in same} == {name: trained[1].manifest[name] for name in same}
    for name in TEXTS:
        assert (made.folder / name).read_bytes() == (trained[1].folder / name).read_bytes()
    assert own.next_day("backtest").read_bytes() == trained[0].next_day("backtest").read_bytes()


def test_the_same_features_do_not_train_again(with_model: Layout, trained: Known) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in folder_of(with_model).rglob("*"))
    made = make(with_model)

    assert made.kept == "features, method and parameters have not changed"
    assert (made.version, made.promoted, made.skill) == (trained[1].version, True, trained[1].skill)
    assert {picture.name for picture in made.pictures} == PICTURES
    assert sorted((path, path.stat().st_mtime_ns) for path in folder_of(with_model).rglob("*")) == before
    assert len(recorded(with_model)) == 1


@pytest.mark.parametrize("change", ["features", "split", "method", "model lost", "model damaged"])
def test_what_makes_another_model_trains_again(
    with_model: Layout, trained: Known, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(with_model) / trained[1].version
    if change == "features":
        market = with_model.data_dir.parent / "market"
        load(with_model, write_frames(market, {"stocks/AD": prices(50, level=12.0)}))
        publish_features(with_model)
    elif change == "method":
        monkeypatch.setattr(model, "method", lambda *_: "another one")
    elif change == "model lost":
        shutil.rmtree(folder)
    elif change == "model damaged":
        (folder / "model.txt").write_bytes((folder / "model.txt").read_bytes()[:-100])
    made = make(with_model, train_share=0.6) if change == "split" else make(with_model)

    assert made.kept is None
    assert made.version != trained[1].version
    assert len(recorded(with_model)) == 2


def test_features_of_other_prices_are_refused(with_model: Layout) -> None:
    load(with_model, write_frames(with_model.data_dir.parent / "market", {"stocks/AD": prices(50)}))

    with pytest.raises(UserError, match="next_day_features of A do not fit combined: materialize all letters"):
        make(with_model)


def test_a_broken_training_is_recorded_and_not_promoted(with_model: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = folder_of(with_model) / "latest.json"
    before = pointer.read_bytes()
    monkeypatch.setattr(model, "method", lambda *_: "another one")
    shuffle_labels(monkeypatch)
    made = make(with_model)
    row = recorded(with_model)[0]

    assert (made.promoted, made.kept, made.skill < -0.05) == (False, None, True)
    assert pointer.read_bytes() == before
    assert (row.version, row.promoted, row.metrics) == (made.version, False, made.manifest["metrics"])
    assert row.reason.startswith("not promoted: ")
    assert f"a skill of {made.skill:+.2%} against ewma" in row.reason
    assert (made.folder / "card.html").exists()


def test_what_cannot_be_recorded_leaves_all_as_it_was(own: Layout) -> None:
    with pytest.raises(UserError, match="STOCK_ASSETS_EXPERIMENTS_URL"):
        make(own, experiments_url="postgresql+pg8000://nobody@127.0.0.1:1/nothing")

    assert list(folder_of(own).iterdir()) == []
    assert not own.next_day("backtest").exists()
    assert litter(own.data_dir) == []


@pytest.mark.parametrize(
    ("days", "window"),
    [(420, "validation"), (160, "too few trading days"), (29, "no symbol of next_day_features has 30 rows")],
)
def test_too_few_rows_are_an_error_that_says_what_to_do(tmp_path: Path, days: int, window: str) -> None:
    layout = build(tmp_path, {"stocks/AA": prices(1, days), "stocks/AB": prices(2, days)})

    with pytest.raises(UserError, match="add prices, or ") as error:
        make(layout)
    assert window in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(folder_of(layout).glob("*/manifest.json"))


def test_without_features_it_says_what_to_do(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    load(layout, write_frames(tmp_path / "market", {"stocks/AA": prices(1, 40)}))

    with pytest.raises(UserError, match="materialize next_day_features first"):
        make(layout)


@pytest.mark.parametrize(("name", "rows"), [("MAX_TRAINING", "training"), ("MAX_VALIDATION", "validation")])
def test_no_window_has_more_rows_than_its_limit(
    own: Layout, trained: Known, monkeypatch: pytest.MonkeyPatch, name: str, rows: str
) -> None:
    whole = trained[1].manifest["rows"][rows]
    monkeypatch.setattr(model, name, whole // 2)
    monkeypatch.setattr(model, "MIN_ROWS", 100)
    made = make(own)

    assert 0.4 * whole < made.manifest["rows"][rows] < 0.6 * whole
    assert made.manifest["metrics"]["test"]["rows"] == trained[1].manifest["metrics"]["test"]["rows"]


def test_young_symbols_are_not_in_the_market(trained: Known) -> None:
    assert "LATE" not in set(read_backtest(trained[0])["Symbol"])
    assert len(usual_market()) == read_backtest(trained[0])["Symbol"].nunique() + 1
