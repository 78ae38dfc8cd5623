"""The volume model from features to a published version, and when it is promoted."""

import hashlib
import json
import pickle
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import lightgbm
import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.layout import LETTERS, Layout
from stock_assets.provenance import read_made_from
from stock_assets.registry import promote, read_pointer, verify
from stock_assets.retraining import input_drift
from stock_assets.settings import Settings
from stock_assets.volume_model import Trained, make_volume_model
from tests.conftest import Built

METRICS = {"mae", "mse", "rmse", "median_ape", "r2_log"}


def take_features(source: Layout, target: Layout) -> Layout:
    """A data folder with the features and the manifest of another one."""
    shutil.copytree(source.data_dir / "lake" / "features", target.data_dir / "lake" / "features")
    target.raw.mkdir()
    shutil.copy(source.manifest, target.manifest)
    return target


def make(layout: Layout, prices_of: Layout | None = None, **settings: Any) -> Trained:
    """Train beside a database whose prices are those that the features were made of, or another one's."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            'CREATE TABLE source_files (letter VARCHAR, "Symbol" VARCHAR, fingerprint VARCHAR, rows_kept BIGINT)'
        )
        for letter in LETTERS:
            said = read_made_from(connection, (prices_of or layout).parquet("features", letter))
            for symbol, fingerprint in json.loads(said)["files"].items() if said else ():
                connection.execute("INSERT INTO source_files VALUES (?, ?, ?, 1)", [letter, symbol, fingerprint])
        return make_volume_model(connection, Settings(data_dir=layout.data_dir, **settings), 1, "the/asset", "a-run")


def folder_of(layout: Layout) -> Path:
    return layout.models / "volume_model"


def change_features(layout: Layout, select: str, only: str = "") -> None:
    """Other features, as they would be made of other files: their fingerprints are other ones too."""
    for path in layout.data_dir.glob("lake/features/*/part-0.parquet"):
        copy = path.with_name("copy.parquet")
        with duckdb.connect() as connection:
            made_from = json.loads(read_made_from(connection, path))
            made_from["files"] = {symbol: text[:16] + select for symbol, text in made_from["files"].items()}
            statement = f"COPY (SELECT {select} FROM read_parquet($path) {only}) TO $copy"
            connection.execute(
                f"{statement} (FORMAT parquet, KV_METADATA {{made_from: $made_from}})",
                {"path": str(path), "copy": str(copy), "made_from": json.dumps(made_from)},
            )
        copy.replace(path)


def replace_volume(layout: Layout, expression: str) -> None:
    """Other volumes beside the same features."""
    change_features(layout, f'* REPLACE ({expression} AS "Volume")')


@pytest.fixture(scope="module")
def demo_layout(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The demo market with volumes so far below their moving average that a model must find it out."""
    layout = take_features(demo_market.layout, Layout(tmp_path_factory.mktemp("model") / "data"))
    replace_volume(layout, '"Volume" // 2')
    return layout


@pytest.fixture(scope="module")
def trained(demo_layout: Layout) -> Trained:
    return make(demo_layout)


@pytest.fixture(scope="module")
def version(demo_layout: Layout, trained: Trained) -> Path:
    return folder_of(demo_layout) / trained.version


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_a_version_is_a_folder_of_known_files(version: Path) -> None:
    found = {path.name for path in version.iterdir()}

    assert found >= {"model.txt", "model.pkl", "manifest.json", "metrics.json", "card.md"}
    assert not [name for name in found if name.endswith(".tmp")]


def test_the_manifest_has_the_hash_of_every_other_file(trained: Trained, version: Path) -> None:
    files = {path.name: path for path in version.iterdir() if path.name != "manifest.json"}

    assert read_json(version / "manifest.json") == trained.manifest
    assert trained.manifest["files"] == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }


def test_the_manifest_tells_what_the_model_is_made_of(trained: Trained, demo_market: Built) -> None:
    manifest = trained.manifest
    letters = [letter for letter in LETTERS if demo_market.layout.parquet("features", letter).exists()]

    assert (manifest["name"], manifest["version"], manifest["run_id"]) == ("volume_model", trained.version, "a-run")
    assert manifest["inputs"] == ["vol_moving_avg", "adj_close_rolling_med"]
    assert manifest["data"]["raw_version"] == demo_market.manifest.version
    assert manifest["data"]["letters"] == letters
    assert manifest["parameters"]["num_iterations"] > 0
    assert set(manifest["input_ranges"]) == set(manifest["inputs"])
    assert {"python", "lightgbm", "numpy", "duckdb"} <= set(manifest["libraries"])
    assert len(manifest["data"]["fingerprint"]) == len(manifest["sql_sha256"]) == 64


def test_the_fingerprint_is_that_of_the_features(trained: Trained, demo_layout: Layout, layout: Layout) -> None:
    again = make(take_features(demo_layout, layout)).manifest
    assert again["version"] != trained.version
    layout.parquet("features", "T").unlink()
    without_a_letter = make(layout).manifest

    assert again["data"] == trained.manifest["data"]
    assert again["files"]["model.txt"] == trained.manifest["files"]["model.txt"]
    assert without_a_letter["data"]["fingerprint"] != again["data"]["fingerprint"]


def test_metrics_are_those_of_the_data_contract(trained: Trained, version: Path) -> None:
    metrics = read_json(version / "metrics.json")

    assert metrics == trained.manifest["metrics"]
    for scores in (metrics["test"], *metrics["baselines"].values()):
        assert set(scores) == {"rows", "from", "to"} | METRICS
        assert {key: scores[key] for key in ("rows", "from", "to")} == {
            key: metrics["test"][key] for key in ("rows", "from", "to")
        }
        assert all(isinstance(scores[name], float) for name in METRICS)
    assert set(metrics["skill"]) == set(metrics["baselines"]) >= {"vol_moving_avg"}
    for name, value in metrics["skill"].items():
        assert value == pytest.approx(1 - metrics["test"]["mae"] / metrics["baselines"][name]["mae"])
    assert metrics["split"]["train_to"] < metrics["split"]["test_from"] <= metrics["test"]["from"]


def test_the_self_test_repeats_from_the_text_alone(trained: Trained, version: Path) -> None:
    booster = lightgbm.Booster(model_str=(version / "model.txt").read_text("utf-8"))
    inputs = np.array(trained.manifest["self_test"]["inputs"])
    outputs = inputs[:, 0] * np.exp(booster.predict(inputs))

    assert trained.manifest["self_test"]["outputs"] == pytest.approx(outputs.tolist(), rel=1e-12)
    assert (outputs > 0).all()


def test_the_pickle_predicts_what_the_text_does(version: Path) -> None:
    inputs = np.random.default_rng(1).lognormal(8, 3, (200, 2))
    pickled = pickle.loads((version / "model.pkl").read_bytes())  # noqa: S301 - our own file
    booster = lightgbm.Booster(model_file=version / "model.txt")

    np.testing.assert_array_equal(pickled.predict(inputs), booster.predict(inputs))


def test_the_card_tells_the_measurement(trained: Trained, version: Path) -> None:
    card = (version / "card.md").read_text("utf-8")

    assert card.startswith("# volume_model\n")
    assert f"{trained.skill:+.2%}" in card
    assert "{" not in card


def test_a_model_with_skill_is_promoted(trained: Trained, demo_layout: Layout) -> None:
    pointer = read_pointer(folder_of(demo_layout))

    assert trained.skill > 0
    assert trained.promoted
    assert "promoted" in trained.verdict
    assert pointer is not None
    assert (pointer.version, pointer.asset_key, pointer.run_id) == (trained.version, "the/asset", "a-run")
    assert verify(folder_of(demo_layout), pointer)[0] == trained.manifest


def test_a_model_without_skill_is_published_but_not_promoted(demo_layout: Layout, layout: Layout) -> None:
    take_features(demo_layout, layout)
    first = make(layout)
    pointer = folder_of(layout) / "latest.json"
    before = pointer.read_bytes()
    replace_volume(layout, "vol_moving_avg")
    second = make(layout)

    assert (second.promoted, second.skill <= 0) == (False, True)
    assert "not promoted" in second.verdict
    assert pointer.read_bytes() == before
    assert {path.name for path in folder_of(layout).iterdir()} == {first.version, second.version, "latest.json"}


def test_without_features_it_is_told_what_to_do(layout: Layout) -> None:
    with pytest.raises(UserError, match="materialize features first"):
        make(layout)


def test_too_few_features_publish_nothing(demo_layout: Layout, layout: Layout) -> None:
    take_features(demo_layout, layout)
    for letter in LETTERS[1:]:
        layout.parquet("features", letter).unlink(missing_ok=True)

    with pytest.raises(UserError, match="add prices, or materialize more letters"):
        make(layout)
    assert not folder_of(layout).exists()


def test_features_of_other_prices_than_combined_are_refused(demo_market: Built, demo_layout: Layout) -> None:
    before = sorted(folder_of(demo_layout).rglob("*"))
    with pytest.raises(UserError, match="do not fit combined: materialize all letters"):
        make(demo_layout, prices_of=demo_market.layout)
    assert sorted(folder_of(demo_layout).rglob("*")) == before


@pytest.fixture
def two_steps(demo_layout: Layout, layout: Layout) -> Layout:
    """A data folder with a model of the rows before 2020, with three months to come."""
    take_features(demo_layout, layout)
    change_features(layout, "*", 'WHERE "Date" < DATE $$2020-01-01$$')
    return layout


def grow(layout: Layout, demo_layout: Layout) -> Layout:
    shutil.rmtree(layout.data_dir / "lake")
    shutil.copytree(demo_layout.data_dir / "lake" / "features", layout.data_dir / "lake" / "features")
    return layout


def test_the_same_features_do_not_train_again(demo_layout: Layout, layout: Layout) -> None:
    first = make(take_features(demo_layout, layout))
    before = sorted((path, path.stat().st_mtime_ns) for path in folder_of(layout).rglob("*"))
    second = make(layout)

    assert (first.kept, second.kept) == (None, "the features are those that it was trained on")
    assert (second.version, second.promoted, second.skill) == (first.version, True, first.skill)
    assert "kept" in second.verdict
    assert sorted((path, path.stat().st_mtime_ns) for path in folder_of(layout).rglob("*")) == before


@pytest.mark.parametrize("change", ["features", "split", "model lost", "model damaged"])
def test_what_makes_another_model_trains_again(demo_layout: Layout, layout: Layout, change: str) -> None:
    first = make(take_features(demo_layout, layout))
    model = folder_of(layout) / first.version / "model.txt"
    if change == "features":
        replace_volume(layout, '"Volume" // 3')
    elif change == "model lost":
        shutil.rmtree(model.parent)
    elif change == "model damaged":
        model.write_bytes(model.read_bytes()[:-100])
    second = make(layout, train_share=0.6) if change == "split" else make(layout)

    assert second.kept is None
    assert second.version != first.version


@pytest.mark.parametrize("pointer", [None, "{"])
def test_a_kept_version_is_promoted_where_none_is_served(
    demo_layout: Layout, layout: Layout, pointer: str | None
) -> None:
    first = make(take_features(demo_layout, layout))
    place = folder_of(layout) / "latest.json"
    place.unlink()
    if pointer is not None:
        place.write_text(pointer, "utf-8")
    second = make(layout)

    served = read_pointer(folder_of(layout))
    assert (second.version, second.promoted) == (first.version, True)
    assert served is not None
    assert served.version == first.version


def test_a_promoted_version_that_the_service_would_refuse_is_replaced(demo_layout: Layout, layout: Layout) -> None:
    make(take_features(demo_layout, layout))
    replace_volume(layout, '"Volume" // 3')
    second = make(layout)
    model = folder_of(layout) / second.version / "model.txt"
    model.write_bytes(model.read_bytes()[:-100])
    make(layout, retrain_share=0.05)

    pointer = read_pointer(folder_of(layout))
    assert pointer is not None
    assert pointer.version != second.version
    verify(folder_of(layout), pointer)


def test_other_statements_train_again_whatever_the_share(
    demo_layout: Layout, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(take_features(demo_layout, layout), retrain_share=0.5)
    monkeypatch.setattr("stock_assets.retraining.recipe", lambda: "another one")
    second = make(layout, retrain_share=0.5)

    assert second.version != first.version


def test_a_version_that_was_promoted_by_hand_stays(demo_layout: Layout, layout: Layout) -> None:
    first = make(take_features(demo_layout, layout))
    second = make(layout, train_share=0.6)
    promote(folder_of(layout), first.version, "by/hand", "a-run")
    third = make(layout, train_share=0.6)

    served = read_pointer(folder_of(layout))
    assert (third.version, third.promoted) == (second.version, False)
    assert served is not None
    assert served.version == first.version


@pytest.mark.parametrize(
    ("settings", "trains"),
    [
        ({}, True),
        ({"retrain_share": 0.01}, True),
        ({"retrain_share": 0.5}, False),
        ({"retrain_share": 0.5, "retrain_drift": 50.0}, False),
        ({"retrain_share": 0.5, "retrain_drift": 0.001}, True),
    ],
)
def test_a_few_new_rows_train_again_if_the_settings_say_so(
    two_steps: Layout, demo_layout: Layout, settings: dict[str, float], trains: bool
) -> None:
    first = make(two_steps)
    second = make(grow(two_steps, demo_layout), **settings)

    assert (second.kept is None) == trains
    assert (second.version != first.version) == trains
    if not trains:
        assert second.kept is not None
        assert "% of the feature rows are new, less than STOCK_ASSETS_RETRAIN_SHARE=0.5" in second.kept


def test_drift_is_that_of_the_new_rows_counted_by_numpy(two_steps: Layout, demo_layout: Layout) -> None:
    last = make(two_steps).manifest
    files = sorted(grow(two_steps, demo_layout).data_dir.glob("lake/features/*/*.parquet"))
    with duckdb.connect() as connection:
        found = input_drift(connection, last, files)
        new = connection.execute(
            'SELECT * FROM read_parquet($files) WHERE "Date" > $until::DATE AND vol_moving_avg IS NOT NULL',
            {"files": [str(path) for path in files], "until": last["data"]["until"]},
        ).fetchnumpy()
    for name, drift in found.items():
        edges = np.array([-np.inf, *last["input_bins"][name]["edges"], np.inf])
        shares = np.array([np.mean((new[name] >= low) & (new[name] < high)) for low, high in pairwise(edges)])
        expected = np.array(last["input_bins"][name]["shares"])
        shares, expected = np.maximum(shares, 1e-4), np.maximum(expected, 1e-4)
        assert drift == pytest.approx(np.sum((shares - expected) * np.log(shares / expected)))
    assert set(found) == set(last["inputs"])
