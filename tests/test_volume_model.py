"""The volume model from its candidates to a published version, and when it is promoted."""

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

from stock_assets import versions, volume_candidates, volume_model
from stock_assets.errors import UserError
from stock_assets.experiments import Recorded, read_experiments
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.candidates import NAMES
from stock_assets.learning.rows import VolumeRows
from stock_assets.learning.split import split_by_date
from stock_assets.pictures import Picture
from stock_assets.registry import promote, read_pointer, verify
from stock_assets.retraining import input_drift
from stock_assets.settings import Settings
from stock_assets.versions import Trained
from stock_assets.volume_candidates import read_rows
from tests.conftest import Built
from tests.published_features import (
    QUICK,
    change_features,
    make,
    make_only_candidates,
    make_only_model,
    replace_volume,
    take_features,
)

METRICS = {"mae", "mse", "rmse", "median_ape", "wape", "r2_log"}


SERVABLE = {"lightgbm_log_ratio", "constant_multiple"}
PICTURES = {"predicted_against_actual", "error_by_liquidity", "skill_by_model", "feature_importance", "input_drift"}


def recorded(layout: Layout) -> list[Recorded]:
    """The experiments of the volume model, newest first."""
    return read_experiments(Settings(data_dir=layout.data_dir), "volume_model")


def folder_of(layout: Layout) -> Path:
    return layout.models / "volume_model"


@pytest.fixture(autouse=True)
def _no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take a second; those of `trained`, which is made before, are drawn."""
    shown = tuple(Picture(name, name, "", b"") for name in sorted(PICTURES))
    monkeypatch.setattr(volume_model, "draw", lambda *_: shown)


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
    assert {path.name for path in version.iterdir()} == {
        "model.txt", "model.pkl", "manifest.json", "metrics.json", "card.md", "card.html", "plots",
    }  # fmt: skip
    assert {path.stem for path in (version / "plots").iterdir()} == PICTURES


def test_the_manifest_has_the_hash_of_every_other_file(trained: Trained, version: Path) -> None:
    paths = [path for path in version.rglob("*") if path.is_file() and path.name != "manifest.json"]
    files = {path.relative_to(version).as_posix(): path for path in paths}

    assert read_json(version / "manifest.json") == trained.manifest
    assert trained.manifest["files"] == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }


def test_the_manifest_tells_what_the_model_is_made_of(trained: Trained, demo_market: Built) -> None:
    manifest = trained.manifest
    letters = [letter for letter in LETTERS if demo_market.layout.parquet("features", letter).exists()]

    assert (manifest["name"], manifest["version"], manifest["run_id"]) == ("volume_model", trained.version, "a-run")
    assert manifest["inputs"] == ["vol_moving_avg", "adj_close_rolling_med"]
    assert (manifest["candidate"] in QUICK, manifest["baseline"], manifest["target"]) == (
        True,
        "vol_moving_avg",
        "log_ratio",
    )
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
    low, high = metrics["skill_interval"]["vol_moving_avg"]
    assert low <= metrics["skill"]["vol_moving_avg"] <= high
    assert set(metrics["candidates"]) == set(QUICK)
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
    assert f"{trained.skill * 100:+.1f}" in card
    assert trained.manifest["candidate"] in card
    assert f"| all rows | {trained.manifest['interval']['coverage'] * 100:.1f} % |" in card
    assert all(f"plots/{name}.png" in card for name in PICTURES)


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
    assert {path.name for path in folder_of(layout).iterdir()} == {
        first.version, second.version, "latest.json", "candidates",
    }  # fmt: skip
    assert recorded(layout)[0].reason.startswith("not promoted: ")


def test_without_candidates_it_is_told_what_to_do(demo_market: Built, layout: Layout) -> None:
    with pytest.raises(UserError, match="materialize volume_candidates"):
        make_only_model(take_features(demo_market.layout, layout))


def test_too_few_features_publish_nothing(demo_layout: Layout, layout: Layout) -> None:
    take_features(demo_layout, layout)
    for letter in LETTERS[1:]:
        layout.parquet("features", letter).unlink(missing_ok=True)

    with pytest.raises(UserError, match="add prices, or materialize more letters"):
        make(layout)
    assert not list(folder_of(layout).glob("*/manifest.json"))


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

    assert first.kept is None
    assert second.kept == f"{first.manifest['candidate']} is still the best candidate and was not trained again"
    assert {picture.name for picture in first.pictures} == {picture.name for picture in second.pictures} == PICTURES
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
        reason = make_only_candidates(two_steps, QUICK, **settings)["log_log"].kept
        assert reason is not None
        assert "% of the feature rows are new, less than STOCK_ASSETS_RETRAIN_SHARE=0.5" in reason


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


def candidate(layout: Layout, name: str) -> dict[str, Any]:
    return dict(read_json(folder_of(layout) / "candidates" / name / "manifest.json"))


def test_the_version_is_the_best_servable_candidate_on_validation(
    trained: Trained, demo_layout: Layout, version: Path
) -> None:
    errors = {name: candidate(demo_layout, name)["metrics"]["validation"]["mae"] for name in SERVABLE}
    best = min(errors, key=lambda name: errors[name])
    source = folder_of(demo_layout) / "candidates" / best

    assert trained.manifest["candidate"] == best
    assert (version / "model.txt").read_bytes() == (source / "model.txt").read_bytes()
    assert trained.manifest["metrics"]["test"] == candidate(demo_layout, best)["metrics"]["test"]
    for fact in ("parameters", "interval"):
        assert trained.manifest[fact] == candidate(demo_layout, best)[fact]


def improve(layout: Layout, name: str, window: str) -> None:
    """Claim that a candidate errs by nothing on a window."""
    path = folder_of(layout) / "candidates" / name / "manifest.json"
    manifest = read_json(path)
    manifest["metrics"][window]["mae"] = 0.0
    path.write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize("name", ["lightgbm_log_ratio", "constant_multiple"])
def test_another_best_candidate_on_validation_makes_another_version(
    demo_layout: Layout, layout: Layout, name: str
) -> None:
    make_only_candidates(take_features(demo_layout, layout), QUICK)
    improve(layout, name, "validation")

    assert make_only_model(layout).manifest["candidate"] == name


def test_neither_the_test_window_nor_a_candidate_that_cannot_be_served_decides(
    trained: Trained, demo_layout: Layout, layout: Layout
) -> None:
    make_only_candidates(take_features(demo_layout, layout), QUICK)
    improve(layout, "log_log", "validation")
    for name in SERVABLE - {trained.manifest["candidate"]}:
        improve(layout, name, "test")

    assert make_only_model(layout).manifest["candidate"] == trained.manifest["candidate"]


def test_the_training_is_recorded_with_its_reason(trained: Trained, demo_layout: Layout) -> None:
    (row,) = recorded(demo_layout)
    (beaten,) = SERVABLE - {trained.manifest["candidate"]}

    assert (row.version, row.promoted, row.run_id) == (trained.version, True, "a-run")
    assert row.metrics == trained.manifest["metrics"]
    assert row.reason.startswith(f"promoted: {trained.manifest['candidate']} errs least on validation")
    assert f"less than {beaten}" in row.reason


def test_a_kept_version_is_not_recorded_again(demo_layout: Layout, layout: Layout) -> None:
    make(take_features(demo_layout, layout))
    make(layout)

    assert len(recorded(layout)) == 1


def test_what_cannot_be_recorded_is_neither_kept_nor_promoted(
    demo_layout: Layout, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("no database")

    make_only_candidates(take_features(demo_layout, layout), QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(versions, "record", refuse)
        with pytest.raises(UserError, match="no database"):
            make_only_model(layout)
    assert [path.name for path in folder_of(layout).iterdir()] == ["candidates"]

    assert make_only_model(layout).kept is None


def test_candidates_that_were_lost_and_made_again_keep_the_version(demo_layout: Layout, layout: Layout) -> None:
    first = make(take_features(demo_layout, layout))
    shutil.rmtree(folder_of(layout) / "candidates")
    second = make(layout)

    assert second.version == first.version


def break_training(patch: pytest.MonkeyPatch) -> None:
    """Volumes before the test window belong to other rows than their own, as after a join gone wrong."""

    def read_shuffled(*arguments: Any) -> VolumeRows:
        rows = read_rows(*arguments)
        known = np.flatnonzero(rows.days < split_by_date(rows.days, 0.7, 0.15).test_from)
        volume = rows.volume.copy()
        volume[known] = volume[np.random.default_rng(3).permutation(known)]
        return rows._replace(volume=volume)

    patch.setattr(volume_candidates, "read_rows", read_shuffled)


def test_a_broken_training_is_recorded_and_not_promoted(
    demo_market: Built, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(take_features(demo_market.layout, layout), NAMES)
    pointer = folder_of(layout) / "latest.json"
    before = pointer.read_bytes()
    change_features(layout, "*")
    break_training(monkeypatch)
    second = make(layout, NAMES)
    row = recorded(layout)[0]

    assert (first.promoted, second.promoted, second.skill < 0) == (True, False, True)
    assert pointer.read_bytes() == before
    assert (row.version, row.promoted, row.metrics) == (second.version, False, second.manifest["metrics"])
    assert row.reason.startswith(f"not promoted: {second.manifest['candidate']} errs least on validation")
    assert f"but it has a skill of {second.skill:+.2%} against vol_moving_avg" in row.reason
