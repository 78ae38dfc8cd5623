"""The volume model from features to a published version, and when it is promoted."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import duckdb
import lightgbm
import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.layout import LETTERS, Layout
from stock_assets.registry import read_pointer, verify
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


COMBINED = """
CREATE TABLE combined AS
FROM read_parquet($files, hive_partitioning = true, hive_types = {'letter': VARCHAR})
"""


def make(layout: Layout, prices_of: Layout | None = None) -> Trained:
    """Train beside the table `combined` that the features were made of, or another one's."""
    files = [str(path) for path in (prices_of or layout).data_dir.glob("lake/features/*/part-0.parquet")]
    with duckdb.connect(config={"threads": 1}) as connection:
        if files:
            connection.execute(COMBINED, {"files": files})
        settings = Settings(data_dir=layout.data_dir)
        return make_volume_model(connection, settings, 1, "the/asset", "a-run")


def folder_of(layout: Layout) -> Path:
    return layout.models / "volume_model"


def replace_volume(layout: Layout, expression: str) -> None:
    """Other volumes beside the same features."""
    for path in layout.data_dir.glob("lake/features/*/part-0.parquet"):
        copy = path.with_name("copy.parquet")
        with duckdb.connect() as connection:
            connection.execute(
                f'COPY (SELECT * REPLACE ({expression} AS "Volume") FROM read_parquet($path)) TO $copy',
                {"path": str(path), "copy": str(copy)},
            )
        copy.replace(path)


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
