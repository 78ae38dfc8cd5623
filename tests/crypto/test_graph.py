"""The whole crypto graph by one run: tables, features, model and predictions, each compared with its source."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from stock_assets import registry
from stock_assets.crypto.card import verdict
from stock_assets.crypto.measures import RANDOM_WALK
from stock_assets.crypto.model import NAME, cut, make_next_price_model
from stock_assets.crypto.predictions import beats_random_walk
from stock_assets.crypto.rows import read_rows
from stock_assets.errors import UserError
from stock_assets.experiments import read_experiments
from stock_assets.layout import Layout
from stock_assets.learning.split import GAP
from stock_assets.settings import Settings
from tests.crypto.conftest import Ran, lines_of, run, walk, write
from tests.defs.graph_runs import checks, failures, metadata, records, steps
from tests.helpers import digests, litter

ASSETS = ["crypto_prices", "crypto_features", "next_price_model", "next_price_predictions"]
SAMPLE = ["price", "volume", "marketCap", "rsi", "next_price", "prediction"]
"""The columns of the published sample's file."""


def frame(path: Path) -> Any:
    with duckdb.connect(config={"threads": 1}) as connection:
        return connection.execute("FROM read_parquet($path)", {"path": str(path)}).df()


def predictions(layout: Layout) -> Any:
    return frame(layout.crypto("next_price_predictions"))


def told(layout: Layout) -> dict[str, Any]:
    """What the predictions say of their model."""
    path = str(layout.crypto("next_price_predictions"))
    with duckdb.connect() as connection:
        pairs = connection.execute("SELECT decode(key), decode(value) FROM parquet_kv_metadata($path)", {"path": path})
        found = dict(pairs.fetchall())
    return {"source": found["source"]} | json.loads(found["model"])


def manifest_of(layout: Layout) -> dict[str, Any]:
    found = registry.newest_manifest(layout.models / NAME)
    assert found is not None
    return found


def test_one_run_makes_everything(walked: Ran) -> None:
    prices, _, model, forecasts = (metadata(walked.result, name) for name in ASSETS)

    assert (walked.result.success, failures(walked.result), steps(walked.result)) == (True, {}, ASSETS)
    assert litter(walked.layout.data_dir) == []
    assert (prices["files"], prices["rows_read"], prices["rows_kept"]) == (2, 1000, 1000)
    names = {"reconciled", "unique_dates", "no_future_dates", "missing_days"}
    assert checks(walked.result, "crypto_prices").keys() == names
    assert model["skill_by_model"].startswith("![")
    assert [row["asset"] for row in records(forecasts["forecasts"])] == ["ada", "bit"]


def test_each_column_of_the_predictions_is_that_of_its_source(walked: Ran) -> None:
    table = predictions(walked.layout)
    files = walked.layout.data_dir.parent / "files"
    wanted = []
    for asset in ("ada", "bit"):
        lines = [line.split(",") for line in (files / f"{asset}.csv").read_text().splitlines()[1:]]
        wanted += [(asset, day, *map(float, numbers)) for day, *numbers in lines]
    named = dict(
        zip(("asset", "date", "price", "volume", "marketCap"), map(list, zip(*wanted, strict=True)), strict=True)
    )

    assert [*table.columns] == ["asset", "date", *SAMPLE, "forecast_for", "seen_in", "beats_random_walk"]
    assert table["asset"].tolist() == named["asset"]
    assert table["date"].dt.strftime("%Y-%m-%d").tolist() == named["date"]
    for name in ("price", "volume", "marketCap"):
        np.testing.assert_array_equal(table[name], named[name], err_msg=name)
    features = frame(walked.layout.crypto("crypto_features"))
    np.testing.assert_array_equal(table["rsi"], features["rsi"])
    assert table["rsi"].notna().sum() == 2 * (500 - 14)
    for _, own in table.groupby("asset"):
        np.testing.assert_array_equal(own["next_price"].to_numpy()[:-1], own["price"].to_numpy()[1:])
        assert np.isnan(own["next_price"].to_numpy()[-1]), "the day after the last one is the forecast"
        assert np.isfinite(own["prediction"].to_numpy()[-1])
    assert ((table["forecast_for"] - table["date"]).dt.days == 1).all()


def test_the_predictions_are_those_of_the_text(trended: Ran) -> None:
    """By numpy from the coefficients that are published, without the code that wrote them."""
    manifest = manifest_of(trended.layout)
    assert manifest["candidate"] == "ridge_returns"
    text = (trended.layout.models / NAME / manifest["version"] / "model.txt").read_text()
    features, line = frame(trended.layout.crypto("crypto_features")), json.loads(text)

    returns = line["intercept"] + sum(features[name] * slope for name, slope in line["coefficients"].items())
    wanted = features["price"] * np.exp(returns)
    np.testing.assert_allclose(predictions(trended.layout)["prediction"], wanted, rtol=1e-12)
    assert wanted.isna().sum() == 30


def test_a_model_that_does_not_beat_the_random_walk_says_so_everywhere(walked: Ran) -> None:
    manifest, check = manifest_of(walked.layout), checks(walked.result, NAME)["beats_random_walk"]
    version = walked.layout.models / NAME / manifest["version"]
    facts = told(walked.layout)
    (experiment,) = read_experiments(Settings(data_dir=walked.layout.data_dir))

    assert (check.passed, check.severity.value) == (False, "WARN")
    assert not (walked.layout.models / NAME / "latest.json").exists()
    assert (experiment.model, experiment.promoted) == (NAME, False)
    for name in ("card.md", "card.html"):
        assert "It does not beat" in (version / name).read_text()
    assert (facts["version"], facts["promoted"], facts["source"]) == (manifest["version"], False, "folder")
    assert facts["skill"] <= 0
    assert facts["verdict"].startswith("It does not beat \"tomorrow's price is today's\" on the test window")
    beats = predictions(walked.layout).groupby("asset")["beats_random_walk"].unique()
    for asset, scores in facts["assets"].items():
        assert (beats[asset].tolist(), scores["model"]["skill_interval"][0] > 0) == ([False], False)


def test_a_model_that_beats_it_is_promoted_and_serves(trended: Ran) -> None:
    manifest, facts = manifest_of(trended.layout), told(trended.layout)
    pointer = registry.read_pointer(trended.layout.models / NAME)

    assert checks(trended.result, NAME)["beats_random_walk"].passed
    assert pointer is not None
    assert pointer.version == manifest["version"] == facts["version"]
    assert facts["promoted"]
    assert facts["skill"] > 0.05
    assert facts["direction"]["low"] > 0.5
    assert predictions(trended.layout)["beats_random_walk"].all()


def test_the_measures_are_those_of_the_published_predictions(trended: Ran) -> None:
    table, manifest = predictions(trended.layout), manifest_of(trended.layout)
    test = table[(table["seen_in"] == "test") & table["next_price"].notna()]
    scores = manifest["metrics"]["assets"]["trend"]
    errors = {"ridge_returns": test["prediction"] - test["next_price"], RANDOM_WALK: test["price"] - test["next_price"]}

    assert len(test) == manifest["metrics"]["test"]["rows"]
    for name, error in errors.items():
        assert scores[name]["mae"] == pytest.approx(error.abs().mean())
        assert scores[name]["rmse"] == pytest.approx((error**2).mean() ** 0.5)
    assert manifest["metrics"]["skill"][RANDOM_WALK] == pytest.approx(
        1 - errors["ridge_returns"].abs().mean() / errors[RANDOM_WALK].abs().mean()
    )
    rose = (test["next_price"] > test["price"]).mean()
    assert manifest["metrics"]["always_up"]["share"] == pytest.approx(rose)


def test_the_windows_are_apart_and_in_order(walked: Ran) -> None:
    with duckdb.connect() as connection:
        windows, split = cut(read_rows(connection, walked.layout.crypto("crypto_features")))
    split_days = manifest_of(walked.layout)["metrics"]["split"]

    assert windows.training.days.max() == split.train_to
    assert (windows.validation.days.min() - windows.training.days.max()).astype(int) > GAP
    assert (windows.test.days.min() - windows.validation.days.max()).astype(int) > GAP
    assert windows.known.days.max() == windows.validation.days.max()
    assert len(windows.known.days) / (2 * 469) == pytest.approx(0.7, abs=0.01)
    assert {name: str(day) for name, day in split._asdict().items()}.items() <= split_days.items()
    seen = predictions(walked.layout).groupby("seen_in")["date"].agg(["min", "max"])
    assert str(seen.loc["training", "max"].date()) == split_days["validation_to"]
    assert str(seen.loc["test", "min"].date()) == split_days["test_from"]
    assert seen.loc["later", "min"] == seen.loc["later", "max"]


def test_a_second_run_trains_nothing_and_changes_nothing(walked: Ran, tmp_path: Path) -> None:
    layout = Layout(shutil.copytree(walked.layout.data_dir, tmp_path / "data"))
    patterns = ("lake/*/*.parquet", "models/next_price_model/**/*")
    before = [digests(layout.data_dir, pattern) for pattern in patterns]
    again = run(layout.data_dir, walked.layout.data_dir.parent / "files")

    assert all(before)
    assert [digests(layout.data_dir, pattern) for pattern in patterns] == before
    assert metadata(again.result, NAME)["trained"] is False


def test_new_prices_that_turn_against_the_model_leave_the_promoted_version(trended: Ran, tmp_path: Path) -> None:
    layout = Layout(shutil.copytree(trended.layout.data_dir, tmp_path / "data"))
    before = told(layout)["version"]
    again = run(layout.data_dir, write(tmp_path / "other.csv", lines_of(walk(700, 4, trend=0.5, turn=450))))

    assert not checks(again.result, NAME)["beats_random_walk"].passed
    assert manifest_of(layout)["version"] != before
    assert (told(layout)["version"], told(layout)["promoted"]) == (before, True)
    assert not predictions(layout)["beats_random_walk"].any(), "nobody has measured it on this asset"


def test_a_skill_that_may_be_chance_is_not_said_to_beat_anything() -> None:
    def manifest(*interval: float, days: int = 100) -> dict[str, Any]:
        return {
            "candidate": "x",
            "metrics": {"assets": {"a": {"x": {"rows": days, "skill": 0.01, "skill_interval": interval}}}},
        }

    assert beats_random_walk(manifest(-0.001, 0.02)) == {"a": False}
    assert beats_random_walk(manifest(0.001, 0.02)) == {"a": True}
    assert beats_random_walk(manifest(0.001, 0.02, days=99)) == {"a": False}


def test_too_few_days_fail_with_their_line(tmp_path: Path) -> None:
    ran = run(tmp_path / "data", write(tmp_path / "young.csv", lines_of(walk(200, 1))))

    assert list(failures(ran.result)) == [NAME]
    assert "too few days for next_price_model: it takes files of about 520 days" in failures(ran.result)[NAME]


def test_an_asset_that_is_too_young_to_learn_from_still_has_its_forecast(tmp_path: Path) -> None:
    write(tmp_path / "in/old.csv", lines_of(walk(500, 1)))
    lines = lines_of(walk(500, 2))
    write(tmp_path / "in/young.csv", lines[420:])
    layout = run(tmp_path / "data", tmp_path / "in").layout
    young = predictions(layout).query("asset == 'young'")

    assert manifest_of(layout)["metrics"]["assets"].keys() == {"old"}
    assert not young["beats_random_walk"].any()
    if manifest_of(layout)["candidate"] != "linear_raw":
        assert young["prediction"].notna().iloc[-1]


@pytest.mark.parametrize(
    ("skill", "interval", "others", "begins"),
    [
        (
            -0.01,
            [-0.02, 0.01],
            -0.1,
            "It does not beat \"tomorrow's price is today's\" on the test window, and no other",
        ),
        (-0.01, [-0.02, 0.01], 0.1, "It does not beat \"tomorrow's price is today's\" on the test window: -1.0 %"),
        (0.01, [-0.02, 0.03], 0.1, "On the test window it saves +1.0 % (95 % interval -2.0 % to +3.0 %) of the MAE"),
    ],
)
def test_the_verdict(skill: float, interval: list[float], others: float, begins: str) -> None:
    said = verdict(
        {
            "skill": {RANDOM_WALK: skill},
            "skill_interval": {RANDOM_WALK: interval},
            "candidates": {"other": {"skill": {RANDOM_WALK: others}}},
        }
    )

    assert said.startswith(begins)
    assert ("may be chance" in said) == (skill > 0 >= interval[0])


def test_features_that_are_not_there_fail_with_their_line(tmp_path: Path) -> None:
    with duckdb.connect() as connection, pytest.raises(UserError, match="materialize crypto_features first"):
        make_next_price_model(connection, Settings(data_dir=tmp_path), NAME, "run", print)


@pytest.mark.parametrize(
    ("name", "asset"),
    [("crypto.duckdb", "crypto_features"), ("lake/crypto_features/part-0.parquet", "next_price_model")],
)
def test_what_was_damaged_fails_with_its_line_and_is_made_anew(
    walked: Ran, tmp_path: Path, name: str, asset: str
) -> None:
    layout, files = Layout(shutil.copytree(walked.layout.data_dir, tmp_path / "data")), tmp_path / "data" / name
    files.write_bytes(b"\0" * 20_000)
    source = walked.layout.data_dir.parent / "files"

    told = failures(run(layout.data_dir, source, [asset]).result)[asset]
    assert told.endswith(": materialize crypto_prices and crypto_features, which makes them anew")
    assert str(files) in told
    assert run(layout.data_dir, source).result.success


def test_the_real_file_by_one_run(real_file: Path, tmp_path: Path) -> None:
    ran = run(tmp_path / "data", real_file)
    table = predictions(ran.layout)

    assert ran.result.success
    assert len(table) > 500
    assert told(ran.layout)["assets"][real_file.stem][RANDOM_WALK]["mae"] > 0


def test_predictions_alone_keep_what_they_are_made_of(walked: Ran, tmp_path: Path) -> None:
    layout = Layout(shutil.copytree(walked.layout.data_dir, tmp_path / "data"))
    again = run(layout.data_dir, None, ["next_price_predictions"])

    assert again.result.success
    with duckdb.connect() as connection:
        path = str(layout.crypto("next_price_predictions"))
        stored = connection.execute("FROM parquet_kv_metadata($path)", {"path": path}).fetchall()
    assert (b"source", b"folder") in [(key, value) for _, key, value in stored]
