"""The asset `volume_predictions` in Dagster: letters, metadata, and what a run that cannot be made says."""

from pathlib import Path

import pytest

from stock_assets.defs.partitions import range_tags
from stock_assets.layout import Layout
from tests.conftest import Built
from tests.defs.graph_runs import execute, failures, metadata, records
from tests.helpers import demo_settings, letter_files, litter
from tests.promoted_model import booster_of, copy_market, promote_model, read_features

PREDICTIONS = ["volume_predictions"]


@pytest.fixture
def market(demo_market: Built, tmp_path: Path) -> Layout:
    return copy_market(demo_market.layout, tmp_path / "own")


def test_a_run_of_all_letters(market: Layout) -> None:
    version = promote_model(market)
    result = execute(demo_settings(market.data_dir), PREDICTIONS)
    values = metadata(result, "volume_predictions")
    rows = read_features(market)

    assert result.success
    assert values["model version"] == version
    assert values["dagster/row_count"] == values["rows written"] == len(rows)
    assert values["rows predicted"] + rows["vol_moving_avg"].null_count() <= len(rows)
    assert values["rows per second"] > 0
    assert {row["letter"] for row in records(values["by letter"])} == set(
        letter_files(market.data_dir, "volume_predictions")
    )
    assert litter(market.data_dir) == []


def test_a_run_of_some_letters_leaves_the_others(market: Layout) -> None:
    promote_model(market)
    execute(demo_settings(market.data_dir), PREDICTIONS)
    before = letter_files(market.data_dir, "volume_predictions")
    promote_model(market, booster_of(level=1.0))
    result = execute(demo_settings(market.data_dir), PREDICTIONS, tags=range_tags("S", "U"))
    after = letter_files(market.data_dir, "volume_predictions")

    assert result.success
    assert {letter for letter in before if before[letter] != after[letter]} == set("STU") & set(before)
    assert [row["letter"] for row in records(metadata(result, "volume_predictions")["by letter"])] == sorted(
        set("STU") & set(before)
    )


def test_a_second_run_skips_every_letter(market: Layout) -> None:
    promote_model(market)
    first, second = (execute(demo_settings(market.data_dir), PREDICTIONS) for _ in range(2))
    values = metadata(second, "volume_predictions")

    assert values["letters skipped"] == len(letter_files(market.data_dir, "volume_predictions"))
    assert values["dagster/row_count"] == metadata(first, "volume_predictions")["dagster/row_count"]
    assert "rows per second" not in values


def test_its_version_is_that_of_the_tables_and_the_model(market: Layout) -> None:
    def version() -> str:
        result = execute(demo_settings(market.data_dir), PREDICTIONS, tags=range_tags("T", "T"))
        (event,) = result.asset_materializations_for_node("volume_predictions")
        return str(event.tags["dagster/data_version"])

    promote_model(market)
    first, second = version(), version()
    promote_model(market, booster_of(level=1.0))

    assert first == second != version()


def test_without_a_promoted_model_nothing_is_made(market: Layout) -> None:
    result = execute(demo_settings(market.data_dir), PREDICTIONS)

    assert result.success
    assert not [event for event in result.all_events if event.is_step_materialization]
    assert letter_files(market.data_dir, "volume_predictions") == {}


def test_a_damaged_model_leaves_the_files_before(market: Layout) -> None:
    version = promote_model(market)
    execute(demo_settings(market.data_dir), PREDICTIONS)
    before = letter_files(market.data_dir, "volume_predictions")
    (market.models / "volume_model" / version / "model.txt").write_text("tree\n")
    result = execute(demo_settings(market.data_dir), PREDICTIONS)

    assert "it was changed; materialize volume_model" in failures(result)["volume_predictions"]
    assert letter_files(market.data_dir, "volume_predictions") == before
