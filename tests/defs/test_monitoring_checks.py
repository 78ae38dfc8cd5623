"""The checks of the promoted model in Dagster: what they say, and that nothing they meet stops a run."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.defs.monitoring import model_checks, volume_model_checks
from stock_assets.defs.resources import MarketDatabase
from stock_assets.layout import Layout
from stock_assets.monitoring import VOLUME_MODEL
from tests.conftest import Built
from tests.defs.graph_runs import checks, execute, metadata, records, steps
from tests.helpers import demo_settings, in_force
from tests.promoted_model import copy_market, promote_model

NAMES = ["inputs_stable", "model_is_fresh", "still_beats_baseline"]


@pytest.fixture
def market(demo_market: Built, tmp_path: Path) -> Layout:
    return copy_market(demo_market.layout, tmp_path / "own")


def evaluate(
    layout: Layout, definition: dg.AssetChecksDefinition = volume_model_checks
) -> dict[str, dg.AssetCheckEvaluation]:
    """Run the checks alone, as the UI does on *Execute*."""
    job = dg.define_asset_job("only_checks", dg.AssetSelection.checks(definition))
    defs = dg.Definitions(asset_checks=[definition], jobs=[job], resources={"database": MarketDatabase()})
    with in_force(demo_settings(layout.data_dir)), dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("only_checks").execute_in_process(instance=instance)
    assert result.success
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def shown(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_a_good_model_passes_all(market: Layout) -> None:
    version = promote_model(market)
    found = evaluate(market)

    assert sorted(found) == NAMES == sorted(VOLUME_MODEL)
    assert {name: evaluation.passed for name, evaluation in found.items()} == dict.fromkeys(NAMES, True) | {
        "inputs_stable": shown(found["inputs_stable"])["largest index"] <= 0.2
    }
    assert {evaluation.severity for evaluation in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert {shown(evaluation)["version"] for evaluation in found.values()} == {version}


def test_drift_is_shown_as_a_table_and_a_picture(market: Layout) -> None:
    promote_model(market)
    values = shown(evaluate(market)["inputs_stable"])
    table = records(values["by input"])

    assert {row["input"] for row in table} == {"vol_moving_avg", "adj_close_rolling_med"}
    assert max(row["index"] for row in table) == values["largest index"]
    assert values["picture"].startswith("![Drift of the inputs](data:image/png;base64,")


def test_without_a_promoted_model_all_warn(market: Layout) -> None:
    found = evaluate(market)

    assert {evaluation.passed for evaluation in found.values()} == {False}
    assert {evaluation.description for evaluation in found.values()} == {
        "no version of volume_model is promoted: its checks say why"
    }


def test_a_changed_model_file_is_told(market: Layout) -> None:
    version = promote_model(market)
    with (market.models / "volume_model" / version / "model.txt").open("a") as file:
        file.write(" ")
    found = evaluate(market)["model_is_fresh"]

    assert not found.passed
    assert "it was changed; materialize volume_model" in str(found.description)


def test_before_there_are_tables_all_warn(tmp_path: Path) -> None:
    promoted = Layout(tmp_path / "data")
    rows = pl.DataFrame({"Date": [date(2020, 1, 1)], "vol_moving_avg": [1.0], "adj_close_rolling_med": [1.0]})
    path = promoted.parquet("features", "A")
    path.parent.mkdir(parents=True)
    rows.write_parquet(path)
    promote_model(promoted)

    assert {evaluation.description for evaluation in evaluate(promoted).values()} == {
        f"{promoted.database} is missing: materialize combined first"
    }


def test_a_feature_file_that_cannot_be_read_is_a_warning(market: Layout) -> None:
    promote_model(market)
    market.parquet("features", "T").write_bytes(b"PAR1 not a table PAR1")
    found = evaluate(market)

    assert not found["model_is_fresh"].passed
    assert "letter=T" in str(found["model_is_fresh"].description)


def test_other_models_are_watched_by_their_own_bins(market: Layout) -> None:
    watched = model_checks("next_day_model", "next_day_features")
    found = evaluate(market, watched)

    assert sorted(found) == NAMES[:2]
    assert all("no version of next_day_model is promoted" in str(one.description) for one in found.values())


def test_a_run_that_keeps_the_model_checks_it_again(copied: Path) -> None:
    result = execute(demo_settings(copied, threads=2))

    assert result.success
    assert not metadata(result, "volume_model")["trained"]
    assert {"beats_baseline", *NAMES} == set(checks(result, "volume_model"))
    assert steps(result).index("volume_model_monitoring") > steps(result).index("volume_model")


def test_they_are_part_of_a_run_of_the_model_alone(copied: Path) -> None:
    result = execute(demo_settings(copied, threads=2), ["volume_model"])

    assert set(NAMES) < set(checks(result, "volume_model"))
