"""The checks in a run: what the UI is told, what stops a run, and what then stays as it was."""

from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from stock_assets import combined
from stock_assets.defs.partitions import range_tags
from stock_assets.engines import local
from stock_assets.features import write_letter
from stock_assets.layout import Layout
from stock_assets.provenance import Stale, read_made_from
from stock_assets.publishing import Report
from stock_assets.quality_checks import COMBINED, FEATURES
from stock_assets.statements import run, sql
from tests.defs.graph_runs import Refreshed, checks, execute, failures, metadata, records, steps
from tests.helpers import demo_settings, digests, folder_settings

WARNINGS = {check.name for check in COMBINED if not check.blocking}
DESCRIBE_T = sql("describe_symbols").replace("$letter", "'T'").replace("$symbols", "['T']")

HARMS_OF_COMBINED = {
    "schema": ("DROP VIEW features", 'ALTER TABLE combined ALTER "Volume" TYPE DOUBLE'),
    "reconciled": ("DELETE FROM quarantine WHERE file = 'stocks/GAPS.csv'",),
    "unique_dates": (
        "INSERT INTO combined FROM combined WHERE \"Symbol\" = 'T' LIMIT 1",
        "DELETE FROM symbols WHERE \"Symbol\" = 'T'",
        DESCRIBE_T,
    ),
    "one_letter": ("UPDATE combined SET letter = 'Q' WHERE \"Symbol\" = 'T'",),
    "no_future_dates": (
        "UPDATE combined SET \"Date\" = '2999-01-01' WHERE \"Symbol\" = 'T' AND \"Date\" > '2020-04-01'",
    ),
}
"""What is done to the tables once they are built, by the check that should find it."""

HARMS_OF_FEATURES = {
    "schema": "SELECT * EXCLUDE (vol_moving_avg) FROM made",
    "complete": "FROM made WHERE \"Date\" < '2020-04-02'",
    "warm_up": "SELECT * REPLACE (coalesce(vol_moving_avg, 1) AS vol_moving_avg) FROM made",
    "spot_check": "SELECT * REPLACE (1.1 * adj_close_rolling_med AS adj_close_rolling_med) FROM made",
}
"""What a feature file is written anew with, by the check that should find it."""


def more_rows(copied: Path) -> dict[str, str]:
    """The settings of a run that finds one more row of the symbol T than the last one."""
    (path,) = (copied / "raw").glob("*/stocks/T.csv")
    with path.open("a") as file:
        file.write("2020-04-02,1,1,1,1,1,1\n")
    return folder_settings(copied, path.parents[1])


def harm(path: Path, statement: str) -> None:
    """Write a feature file anew; it says that it was made of the same as before."""
    with duckdb.connect(config={"threads": 1}) as connection:
        made_from = read_made_from(connection, path)
        connection.execute(f"CREATE TABLE made AS FROM read_parquet('{path}', hive_partitioning = false)")
        copy = f"COPY ({statement}) TO '{path}' (FORMAT parquet, KV_METADATA {{made_from: $made_from}})"
        connection.execute(copy, {"made_from": made_from})


def shown(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def assert_stopped(result: dg.ExecuteInProcessResult, asset: str, name: str, ran: list[str]) -> None:
    """The run ended in that asset with one line on that check, and nothing after it was started."""
    assert not result.success
    assert steps(result) == ran
    assert not checks(result, asset)[name].passed
    ((step, line),) = failures(result).items()
    assert step == asset
    assert f"{name}" in line.split(" failed: ")[0]
    assert "; first: " in line
    assert "; nothing was published: " in line
    assert "\n" not in line
    assert result.asset_materializations_for_node(asset) == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", HARMS_OF_COMBINED)
def test_a_blocking_check_of_combined_stops_the_run(copied: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def run_and_harm(connection: duckdb.DuckDBPyConnection, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        rows = run(connection, statement, **parameters)
        if statement == "count_rows":
            for harm_done in HARMS_OF_COMBINED[name]:
                connection.execute(harm_done)
        return rows

    monkeypatch.setattr(combined, "run", run_and_harm)
    monkeypatch.setattr(combined, "find_restatements", lambda *_: None)
    result = execute(more_rows(copied))

    assert_stopped(result, "combined", name, ["raw_files", "combined"])


def _all_but_the_log(data_dir: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(data_dir, "**/*.*").items() if not name.startswith("logs/")}


@pytest.mark.parametrize("name", HARMS_OF_FEATURES)
def test_a_blocking_check_of_features_stops_the_run(copied: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def write_and_harm(
        connection: duckdb.DuckDBPyConnection, letter: str, stale: Stale, path: Path, report: Report
    ) -> None:
        write_letter(connection, letter, stale, path, report)
        harm(path, HARMS_OF_FEATURES[name])

    variables = more_rows(copied)
    assert execute(variables, ["raw_files", "combined"]).success
    before = _all_but_the_log(copied)
    monkeypatch.setattr(local, "write_letter", write_and_harm)
    result = execute(variables, ["features", "volume_candidates/log_log", "volume_model"])

    assert_stopped(result, "features", name, ["features"])
    assert shown(checks(result, "features")[name])["letters"] == "T"
    assert _all_but_the_log(copied) == before


@pytest.mark.usefixtures("refreshed")
def test_a_run_that_has_nothing_to_do_checks_what_is_published(copied: Path) -> None:
    with duckdb.connect(str(copied / "market.duckdb"), config={"threads": 1}) as connection:
        for statement in HARMS_OF_COMBINED["one_letter"]:
            connection.execute(statement)
    result = execute(demo_settings(copied))

    assert_stopped(result, "combined", "one_letter", ["raw_files", "combined"])
    assert shown(checks(result, "combined")["one_letter"])["change"] == 2


def test_feature_files_that_are_not_written_are_checked_too(copied: Path) -> None:
    harm(Layout(copied).parquet("features", "T"), HARMS_OF_FEATURES["warm_up"])
    result = execute(demo_settings(copied), ["combined", "features"])

    assert_stopped(result, "features", "warm_up", ["combined", "features"])
    assert list(failures(result)) == ["features"]


def test_a_backfill_checks_its_own_letters(copied: Path) -> None:
    harm(Layout(copied).parquet("features", "T"), HARMS_OF_FEATURES["warm_up"])
    others, own = (
        execute(demo_settings(copied), ["features"], tags=range_tags(*letters)) for letters in (("A", "F"), ("S", "U"))
    )

    assert others.success
    assert shown(checks(others, "features")["complete"])["total"] == 6
    assert_stopped(own, "features", "warm_up", ["features"])


def test_warnings_stop_nothing_and_tell_what_was_found(refreshed: Refreshed) -> None:
    found = checks(refreshed.result, "combined")
    warnings = {name: evaluation for name, evaluation in found.items() if name in WARNINGS}
    failed = {name for name, evaluation in found.items() if not evaluation.passed}

    assert refreshed.result.success
    assert list(found) == [check.name for check in COMBINED]
    assert failed == {"zero_volumes", "bad_prices", "high_below_low", "missing_names"}
    assert {evaluation.severity for evaluation in warnings.values()} == {dg.AssetCheckSeverity.WARN}
    ((zero_volumes,),) = refreshed.query('SELECT count(*) FROM combined WHERE "Volume" = 0')
    values = shown(warnings["zero_volumes"])
    assert (values["offenders"], values["unit"]) == (zero_volumes, "rows")
    assert values["share"] == zero_volumes / values["total"]
    assert warnings["zero_volumes"].description.startswith(f"{zero_volumes:,} of {values['total']:,} rows (")
    rows = [row["rows"] for row in records(values["examples"])]
    assert rows == sorted(rows, reverse=True)
    assert 0 < len(rows) <= 10


def test_checks_that_block_are_errors_and_are_described(refreshed: Refreshed) -> None:
    blocking = {check.name: check for check in (*COMBINED, *FEATURES) if check.blocking}
    for asset in ("combined", "features"):
        for name, evaluation in checks(refreshed.result, asset).items():
            assert (evaluation.severity == dg.AssetCheckSeverity.ERROR) == (name in blocking)
    assert all(len(check.description) > 20 for check in (*COMBINED, *FEATURES))


def test_counts_of_warnings_are_plotted(refreshed: Refreshed) -> None:
    values = metadata(refreshed.result, "combined")

    assert {name: values[name] for name in WARNINGS} == {
        name: shown(evaluation)["offenders"]
        for name, evaluation in checks(refreshed.result, "combined").items()
        if name in WARNINGS
    }


def test_the_trend_goes_from_one_publication_to_the_next(copied: Path) -> None:
    (path,) = (copied / "raw").glob("*/stocks/T.csv")
    with path.open("a") as file:
        file.writelines(f"2020-04-{day:02},1,1,1,1,1,0\n" for day in range(2, 14))
    variables = folder_settings(copied, path.parents[1])
    more, same = (checks(execute(variables, ["raw_files", "combined"]), "combined") for _ in range(2))

    assert shown(more["zero_volumes"])["change"] == 12
    assert "; +12 since the last refresh; " in str(more["zero_volumes"].description)
    assert {name: shown(evaluation)["change"] for name, evaluation in same.items()} == dict.fromkeys(same, 0)
