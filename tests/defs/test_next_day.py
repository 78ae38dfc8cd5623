"""The assets of the next-day forecast in Dagster: one after the other, with their checks and what they tell."""

import re
import shutil
from pathlib import Path

import pytest

from stock_assets.defs.partitions import range_tags
from stock_assets.layout import Layout
from stock_assets.next_day import model
from tests.defs.graph_runs import checks, execute, failures, metadata, records
from tests.helpers import digests, folder_settings, letter_files, litter
from tests.next_day.markets import (
    DAYS,
    build,
    load,
    prices,
    quicken,
    read_features,
    shuffle_labels,
    usual_market,
    write_frames,
)

ASSETS = ["next_day_features", "next_day_model", "next_day_forecasts"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with its model and forecasts, which tests copy."""
    layout = build(tmp_path_factory.mktemp("made"), usual_market())
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        assert execute(variables(layout), ASSETS).success
    return layout.data_dir.parent


@pytest.fixture
def own(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    quicken(monkeypatch)
    return Layout(Path(shutil.copytree(made, tmp_path / "own")) / "data")


def variables(layout: Layout) -> dict[str, str]:
    return folder_settings(layout.data_dir, layout.data_dir.parent / "market")


def change_prices(layout: Layout) -> None:
    frame = prices(50, DAYS, level=12.0)
    load(layout, write_frames(layout.data_dir.parent / "market", {"stocks/AD": frame}))


def test_one_run_makes_features_model_and_forecasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch, draws=True)
    layout = build(tmp_path, usual_market())
    shutil.rmtree(layout.data_dir / "lake")
    result = execute(variables(layout), ASSETS)
    features, told, forecasts = (metadata(result, name) for name in ASSETS)
    found = checks(result, "next_day_model")

    assert (result.success, failures(result), litter(layout.data_dir)) == (True, {}, [])
    assert features["dagster/row_count"] == len(read_features(layout))
    assert {row["letter"] for row in records(features["by letter"])} == {"0", "A", "B", "L"}
    assert (told["trained"], told["promoted"], told["skill"] > 0.05) == (True, True, True)
    assert [row["baseline"] for row in records(told["baselines"])] == [
        "last", "mean_5", "mean_20", "mean_30", "ewma", "har",
    ]  # fmt: skip
    assert told["error_by_liquidity"].startswith("![")
    assert Path(told["card"]).exists()
    assert {"forecast_beats_baseline", "interval_holds"} <= set(found)
    assert found["forecast_beats_baseline"].passed
    assert forecasts["model version"] == told["version"]
    assert forecasts["dagster/row_count"] == forecasts["symbols of the newest day"] == 9
    assert forecasts["newest day"] == "2017-06-16"


def test_a_second_run_changes_nothing(own: Layout) -> None:
    patterns = ("lake/*/*/*.parquet", "lake/*/*.parquet", "models/next_day_model/**/*")
    before = [digests(own.data_dir, pattern) for pattern in patterns]
    result = execute(variables(own), ASSETS)

    assert all(before)
    assert result.success
    assert [digests(own.data_dir, pattern) for pattern in patterns] == before
    assert metadata(result, "next_day_model")["trained"] is False
    assert checks(result, "next_day_model")["forecast_beats_baseline"].passed


def test_a_changed_file_makes_its_letter_a_model_and_forecasts_anew(own: Layout) -> None:
    features, forecasts = letter_files(own.data_dir, ASSETS[0]), own.next_day("forecasts").read_bytes()
    change_prices(own)
    result = execute(variables(own), ASSETS)
    after = letter_files(own.data_dir, ASSETS[0])

    assert result.success
    assert {letter for letter in features if features[letter] != after[letter]} == {"A"}
    assert metadata(result, "next_day_model")["trained"] is True
    assert own.next_day("forecasts").read_bytes() != forecasts


def test_some_letters_alone(own: Layout) -> None:
    shutil.rmtree(own.data_dir / "lake" / ASSETS[0])
    result = execute(variables(own), ASSETS[:1], tags=range_tags("A", "B"))

    assert result.success
    assert set(letter_files(own.data_dir, ASSETS[0])) == {"A", "B"}


def test_labels_of_other_rows_fail_the_check_and_are_not_served(own: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    pointer = own.models / "next_day_model" / "latest.json"
    before, served = pointer.read_bytes(), own.next_day("forecasts").read_bytes()
    monkeypatch.setattr(model, "method", lambda *_: "another one")
    shuffle_labels(monkeypatch)
    result = execute(variables(own), ASSETS[1:])
    told, check = metadata(result, "next_day_model"), checks(result, "next_day_model")["forecast_beats_baseline"]

    assert (told["trained"], told["promoted"], told["skill"] < 0) == (True, False, True)
    assert not check.passed
    assert check.description == (
        f"{told['version']} saves {told['skill']:+.2%} of the MAE of ewma on the test window: "
        "not promoted, latest.json stays as it was"
    )
    assert pointer.read_bytes() == before
    assert own.next_day("forecasts").read_bytes() == served


def test_an_interval_that_does_not_hold_warns(own: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "method", lambda *_: "another one")
    monkeypatch.setattr(model, "margins", lambda *_: dict.fromkeys(margins_of(own), -0.3))
    result = execute(variables(own), ASSETS[1:2])
    check = checks(result, "next_day_model")["interval_holds"]

    assert (result.success, check.passed, check.severity.value) == (True, False, "WARN")
    assert check.description is not None
    assert re.match(r"the interval holds \d+\.\d% of the rows \(all rows\), ", check.description)


def margins_of(layout: Layout) -> list[str]:
    (manifest,) = layout.models.glob("next_day_model/*/manifest.json")
    return list(model.registry.read_manifest(manifest.parent.parent, manifest.parent.name)["margins"])


@pytest.mark.parametrize("asset", ["next_day_model", "next_day_forecasts"])
def test_features_of_other_prices_fail_with_their_line(own: Layout, asset: str) -> None:
    change_prices(own)
    told = failures(execute(variables(own), [asset]))[asset]

    assert "the next_day_features of A do not fit combined: materialize all letters" in told
    assert "Traceback" not in told


def test_too_few_rows_fail_with_their_line(tmp_path: Path) -> None:
    layout = build(tmp_path, {"stocks/AA": prices(1, 29)})
    result = execute(variables(layout), ASSETS)

    assert list(failures(result)) == ["next_day_model"]
    assert "no symbol of next_day_features has 30 rows" in failures(result)["next_day_model"]
