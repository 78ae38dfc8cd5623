"""The candidates from features to their folders: what they leave, when they are kept, and what they never see."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import duckdb
import lightgbm
import numpy as np
import pytest

from stock_assets import experiments, volume_candidates
from stock_assets.errors import UserError
from stock_assets.experiments import read_experiments
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.candidates import NAMES
from stock_assets.learning.split import split_by_date
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings
from stock_assets.volume_candidates import Made, comparable, make_candidates, read_candidate, read_rows
from tests.conftest import Built, build_tables, snapshot
from tests.published_features import (
    QUICK,
    change_features,
    database_of,
    make_only_candidates,
    replace_volume,
    take_features,
)

SERVABLE = {"lightgbm_log_ratio", "lightgbm_raw", "constant_multiple"}


@pytest.fixture(scope="module")
def everything(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, dict[str, Made]]:
    """All candidates of the demo market, and two folds."""
    layout = take_features(demo_market.layout, Layout(tmp_path_factory.mktemp("candidates") / "data"))
    return layout, make_only_candidates(layout, folds=1)


def folder_of(layout: Layout, name: str) -> Path:
    return layout.models / "volume_model" / "candidates" / name


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def state(layout: Layout) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in layout.models.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_each_leaves_its_folder(everything: tuple[Layout, dict[str, Made]], name: str) -> None:
    layout, made = everything
    folder, manifest = folder_of(layout, name), made[name].manifest
    model = "model.txt" if name in SERVABLE else "model.pkl"

    assert {path.name for path in folder.iterdir()} == {"manifest.json", "metrics.json", model}
    assert read_json(folder / "manifest.json") == manifest
    assert read_json(folder / "metrics.json") == manifest["metrics"]
    assert manifest["files"] == {file: sha256_of(folder / file) for file in ("metrics.json", model)}
    assert (manifest["candidate"], manifest["name"]) == (name, f"volume_candidates/{name}")
    assert manifest["servable"] == (name in SERVABLE)
    assert ("target" in manifest) == ("interval" in manifest) == (name in SERVABLE)
    assert ("reason" in manifest) == (name not in SERVABLE)
    assert {"parameters", "rows", "data", "method", "run_id", "seconds", "input_bins", "libraries"} <= set(manifest)
    assert (manifest["run_id"], manifest["kept"] if "kept" in manifest else made[name].kept) == ("a-run", None)


def test_the_model_on_disk_is_the_one_that_was_measured(everything: tuple[Layout, dict[str, Made]]) -> None:
    layout, made = everything
    with database_of(layout) as connection:
        files = {letter: path for letter in LETTERS if (path := layout.parquet("features", letter)).exists()}
        rows = read_rows(connection, files)
    test = rows.at(split_by_date(rows.days, 0.7, 0.15).test(rows.days))
    booster = lightgbm.Booster(model_file=folder_of(layout, "lightgbm_log_ratio") / "model.txt")
    ensemble = pickle.loads((folder_of(layout, "ensemble") / "model.pkl").read_bytes())  # noqa: S301 - our own file
    volumes = {
        "lightgbm_log_ratio": test.inputs[:, 0] * np.exp(booster.predict(test.inputs)),
        "ensemble": ensemble.predict(test.inputs, 1),
    }

    for name, predicted in volumes.items():
        found = made[name].manifest["metrics"]["test"]
        assert found["mae"] == pytest.approx(np.abs(predicted - test.volume).mean())
        assert found["rows"] == len(test.days)


def test_the_interval_in_the_manifest_holds_what_it_says(everything: tuple[Layout, dict[str, Made]]) -> None:
    layout, made = everything
    with database_of(layout) as connection:
        files = {letter: path for letter in LETTERS if (path := layout.parquet("features", letter)).exists()}
        rows = read_rows(connection, files)
    test = rows.at(split_by_date(rows.days, 0.7, 0.15).test(rows.days))
    booster = lightgbm.Booster(model_file=folder_of(layout, "lightgbm_log_ratio") / "model.txt")
    predicted = test.inputs[:, 0] * np.exp(booster.predict(test.inputs))
    interval = made["lightgbm_log_ratio"].manifest["interval"]
    bucket = np.digitize(test.inputs[:, 0], interval["edges"])
    low, high = (predicted * np.array(interval[end])[bucket] for end in ("low", "high"))
    inside = (low <= test.volume) & (test.volume <= high)

    assert list(interval) == ["nominal", "edges", "low", "high", "coverage", "by_liquidity"]
    assert (interval["nominal"], interval["edges"]) == (0.8, [1e3, 1e4, 1e5, 1e6, 1e7])
    assert len(interval["low"]) == len(interval["high"]) == 6
    assert all(0 <= low < high < np.inf for low, high in zip(interval["low"], interval["high"], strict=True))
    assert interval["coverage"] == pytest.approx(inside.mean())
    assert list(interval["by_liquidity"].values()) == pytest.approx(
        [inside[bucket == place].mean() for place in np.unique(bucket)]
    )


def test_the_interval_is_made_before_the_model_learns_from_validation(
    everything: tuple[Layout, dict[str, Made]], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, made = everything
    monkeypatch.setattr(volume_candidates.candidates, "refit", lambda models, *_: models)
    again = make_only_candidates(take_features(first, layout), ["lightgbm_log_ratio"])["lightgbm_log_ratio"].manifest
    published = made["lightgbm_log_ratio"].manifest

    assert again["files"]["model.txt"] != published["files"]["model.txt"]
    assert (again["interval"]["low"], again["interval"]["high"]) == (
        published["interval"]["low"],
        published["interval"]["high"],
    )


def test_rows_have_the_letter_and_the_kind_of_their_symbol(demo_market: Built, layout: Layout) -> None:
    take_features(demo_market.layout, layout)
    files = {letter: path for letter in LETTERS if (path := layout.parquet("features", letter)).exists()}
    with database_of(layout) as connection:
        rows = read_rows(connection, files)
        expected = connection.execute(
            """SELECT source_files.letter, starts_with(file, 'etfs') AS etf, count(*) AS n, sum("Volume") AS volume
            FROM read_parquet($files) JOIN source_files USING ("Symbol") WHERE vol_moving_avg IS NOT NULL
            GROUP BY ALL""",
            {"files": [str(path) for path in files.values()]},
        ).fetchall()

    for letter, is_etf, count, volume in expected:
        mask = (rows.letter == LETTERS.index(letter)) & (rows.is_etf == is_etf)
        assert (mask.sum(), rows.volume[mask].sum()) == (count, volume)
    assert len(rows.days) == sum(count for _, _, count, _ in expected)


def test_rows_from_a_day_on(demo_market: Built, layout: Layout) -> None:
    take_features(demo_market.layout, layout)
    files = {"T": layout.parquet("features", "T")}
    with database_of(layout) as connection:
        all_rows = read_rows(connection, files)
        rows = read_rows(connection, files, "2019-06-03")

    later = all_rows.at(all_rows.days >= np.datetime64("2019-06-03"))
    for found, expected in zip(rows, later, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_candidate_is_recorded_with_the_same_test_rows(everything: tuple[Layout, dict[str, Made]]) -> None:
    layout, made = everything
    found = {row.model: row for row in read_experiments(Settings(data_dir=layout.data_dir))}

    assert set(found) == {f"volume_candidates/{name}" for name in NAMES}
    windows = {tuple(row.metrics["test"][key] for key in ("rows", "from", "to")) for row in found.values()}
    assert len(windows) == 1
    for name in NAMES:
        row, manifest = found[f"volume_candidates/{name}"], made[name].manifest
        assert (row.version, row.data_version) == (manifest["version"], manifest["data"]["fingerprint"])
        assert row.metrics == manifest["metrics"]
        assert not row.promoted


def test_folds_and_the_random_split_are_in_the_metrics(everything: tuple[Layout, dict[str, Made]]) -> None:
    _, made = everything
    metrics = {name: found.manifest["metrics"] for name, found in made.items()}

    assert all([set(fold) for fold in found["folds"]] == [
        {"train_to", "from", "to", "rows", "mae", "skill"}
    ] for found in metrics.values())  # fmt: skip
    assert all(found["folds"][0]["to"] <= found["split"]["validation_to"] for found in metrics.values())
    assert {name for name, found in metrics.items() if "random_split" in found} == {"lightgbm_raw"}


def test_without_the_setting_there_are_no_folds(demo_market: Built, layout: Layout) -> None:
    made = make_only_candidates(take_features(demo_market.layout, layout), ["log_log"])

    assert "folds" not in made["log_log"].manifest["metrics"]


def test_training_again_gives_the_same_bytes(everything: tuple[Layout, dict[str, Made]], layout: Layout) -> None:
    first, made = everything
    again = make_only_candidates(take_features(first, layout), threads=2, folds=1)

    for name in SERVABLE:
        assert (folder_of(layout, name) / "model.txt").read_bytes() == (
            folder_of(first, name) / "model.txt"
        ).read_bytes()
    for name in NAMES:
        assert again[name].manifest["metrics"] == made[name].manifest["metrics"]


def test_the_same_features_do_not_train_again(demo_market: Built, layout: Layout) -> None:
    make_only_candidates(take_features(demo_market.layout, layout), QUICK)
    before = state(layout)
    again = make_only_candidates(layout, QUICK)

    assert {made.kept for made in again.values()} == {"the features are those that it was trained on"}
    assert state(layout) == before
    assert len(read_experiments(Settings(data_dir=layout.data_dir))) == len(QUICK)


@pytest.mark.parametrize("change", ["features", "split", "folds", "model lost", "model damaged", "manifest damaged"])
def test_what_makes_other_candidates_trains_all_of_them(demo_market: Built, layout: Layout, change: str) -> None:
    make_only_candidates(take_features(demo_market.layout, layout), QUICK)
    folder = folder_of(layout, "log_log")
    settings: dict[str, Any] = {"split": {"train_share": 0.6}, "folds": {"folds": 1}}.get(change, {})
    if change == "features":
        replace_volume(layout, '"Volume" // 3')
    elif change == "model lost":
        shutil.rmtree(folder)
    elif change == "model damaged":
        (folder / "model.pkl").write_bytes(b"")
    elif change == "manifest damaged":
        (folder / "manifest.json").write_text("{")
    again = make_only_candidates(layout, QUICK, **settings)

    assert {made.kept for made in again.values()} == {None}


def test_another_selection_is_trained_alone(demo_market: Built, layout: Layout) -> None:
    take_features(demo_market.layout, layout)
    first = make_only_candidates(layout, ["log_log", "linear"])
    second = make_only_candidates(layout, ["constant_multiple", "linear"])

    assert [second[name].kept for name in ("constant_multiple", "linear")] == [None, None]
    assert read_candidate(layout, "log_log") == first["log_log"].manifest
    assert set(comparable(layout)) == {"log_log", "linear", "constant_multiple"}


def test_the_ensemble_alone_fits_its_members_and_publishes_none(demo_market: Built, layout: Layout) -> None:
    made = make_only_candidates(take_features(demo_market.layout, layout), ["ensemble"])

    assert set(made) == {"ensemble"}
    assert set(made["ensemble"].manifest["parameters"]["weights"]) == set(NAMES) - {"ensemble"}
    assert [path.name for path in folder_of(layout, "ensemble").parent.iterdir()] == ["ensemble"]


def test_only_candidates_of_the_same_data_are_compared(demo_market: Built, layout: Layout) -> None:
    make_only_candidates(take_features(demo_market.layout, layout), ["lightgbm_log_ratio", "constant_multiple"])
    replace_volume(layout, '"Volume" // 3')
    make_only_candidates(layout, ["constant_multiple", "log_log"])
    with pytest.raises(UserError, match=r"^lightgbm_log_ratio: made of other data or code than constant_multiple"):
        comparable(layout)
    make_only_candidates(layout, ["lightgbm_log_ratio"])

    assert set(comparable(layout)) == {"lightgbm_log_ratio", "constant_multiple", "log_log"}


def test_without_a_candidate_that_can_be_served_it_is_told(demo_market: Built, layout: Layout) -> None:
    with pytest.raises(UserError, match="can be served: materialize volume_candidates"):
        comparable(layout)
    make_only_candidates(take_features(demo_market.layout, layout), ["log_log"])
    with pytest.raises(UserError, match="can be served: materialize volume_candidates"):
        comparable(layout)


def test_what_cannot_be_recorded_is_not_published(
    demo_market: Built, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("no database")

    take_features(demo_market.layout, layout)
    monkeypatch.setattr(volume_candidates, "record", refuse)
    with pytest.raises(UserError, match="no database"):
        make_only_candidates(layout, ["log_log"])
    assert not folder_of(layout, "log_log").exists()
    monkeypatch.setattr(volume_candidates, "record", experiments.record)

    assert make_only_candidates(layout, ["log_log"])["log_log"].kept is None


def test_without_features_it_is_told_what_to_do(layout: Layout) -> None:
    with pytest.raises(UserError, match="materialize features first"):
        make_only_candidates(layout)


def test_too_few_features_publish_nothing(demo_market: Built, layout: Layout) -> None:
    take_features(demo_market.layout, layout)
    for letter in LETTERS[1:]:
        layout.parquet("features", letter).unlink(missing_ok=True)

    with pytest.raises(UserError, match="add prices, or materialize more letters"):
        make_only_candidates(layout)
    assert not layout.models.exists() or list(layout.models.rglob("*.json")) == []


def test_features_of_other_prices_than_combined_are_refused(demo_market: Built, layout: Layout) -> None:
    take_features(demo_market.layout, layout)
    with database_of(layout) as connection:
        change_features(layout, "*")
        with pytest.raises(UserError, match="do not fit combined: materialize all letters"):
            make_candidates(connection, Settings(data_dir=layout.data_dir), QUICK, "a-run", lambda _: None)


@pytest.fixture(scope="module")
def two_markets(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Layout]:
    """The demo market's tables, and those of a market whose every price and volume of the test window is another."""
    rows = duckdb.connect(str(demo_market.layout.database), read_only=True)
    with rows:
        days = rows.execute('SELECT "Date" FROM features WHERE vol_moving_avg IS NOT NULL').fetchnumpy()["Date"]
    since = str(split_by_date(days.astype("datetime64[D]"), 0.7, 0.15).test_from)
    root = tmp_path_factory.mktemp("changed") / "market"
    shutil.copytree(demo_market.root, root)
    for path in root.glob("*/*.csv"):
        _change_from(path, since)
    changed = Layout(root.parent / "data")
    build_tables(changed, snapshot(changed, root))
    return demo_market.layout, changed


def _change_from(path: Path, since: str) -> None:
    """Prices of half as much and volumes of three times as much, from a day on, in whatever line can be read."""
    lines = path.read_text("utf-8").splitlines()
    for place, line in enumerate(lines):
        day, *prices, volume = line.split(",")
        if day[:1].isdigit() and day >= since and len(prices) == 5 and all((*prices, volume)):
            halves = (f"{float(price) / 2:.6f}" for price in prices)
            lines[place] = ",".join((day, *halves, str(int(float(volume)) * 3 + 1)))
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_nothing_of_the_test_window_reaches_a_model(two_markets: tuple[Layout, Layout], tmp_path: Path) -> None:
    first, second = (
        take_features(market, Layout(tmp_path / name)) for market, name in zip(two_markets, "ab", strict=True)
    )
    before, after = make_only_candidates(first), make_only_candidates(second)

    for name in NAMES:
        one, other = before[name].manifest, after[name].manifest
        assert one["data"]["fingerprint"] != other["data"]["fingerprint"]
        assert one["metrics"]["test"]["mae"] != other["metrics"]["test"]["mae"]
        for fact in ("parameters", "rows", "input_ranges", "input_bins"):
            assert other[fact] == one[fact], (name, fact)
        for measured in ("split", "validation"):
            assert other["metrics"][measured] == one["metrics"][measured], (name, measured)
    for name in SERVABLE:
        assert (folder_of(second, name) / "model.txt").read_bytes() == (
            folder_of(first, name) / "model.txt"
        ).read_bytes()
        one, other = before[name].manifest["interval"], after[name].manifest["interval"]
        assert (one["low"], one["high"]) == (other["low"], other["high"])
        assert one["coverage"] != other["coverage"]
    for name in set(NAMES) - SERVABLE:
        inputs = np.random.default_rng(1).lognormal(8, 2, (100, 2))
        pair = [pickle.loads((folder_of(layout, name) / "model.pkl").read_bytes()) for layout in (first, second)]  # noqa: S301
        np.testing.assert_array_equal(pair[0].predict(inputs, 1), pair[1].predict(inputs, 1))
