"""Drift, staleness and skill of a promoted model on the rows that came after its data."""

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import polars as pl
import pytest

from stock_assets.layout import Layout
from stock_assets.learning.drift import bins
from stock_assets.monitoring import Verdict, inputs_stable, model_is_fresh, still_beats_baseline
from stock_assets.promoted import read_promoted
from tests.conftest import Built
from tests.promoted_model import INPUTS, booster_of, promote_model, read_features

FACTOR = 8
UNTIL = date(2019, 6, 28)
"""A Friday; the demo market goes on until 2020-04-01."""


@pytest.fixture
def layout(demo_market: Built, tmp_path: Path) -> Layout:
    shutil.copytree(demo_market.layout.data_dir / "lake/features", tmp_path / "data/lake/features")
    return Layout(tmp_path / "data")


def before(layout: Layout, until: date) -> dict[str, object]:
    """What a manifest says of a model that was made of the rows up to a day."""
    rows = read_features(layout).drop_nulls("vol_moving_avg").filter(pl.col("Date") <= until)
    training = {name: bins(rows[name].to_numpy()) for name in INPUTS}
    return {"input_bins": training, "data": {"until": str(until), "rows": len(rows)}}


def change(layout: Layout, *expressions: pl.Expr) -> None:
    """Other feature rows in the place of those that are there."""
    for path in layout.data_dir.glob("lake/features/*/*.parquet"):
        pl.read_parquet(path, hive_partitioning=False).with_columns(expressions).write_parquet(path)


def since(day: date, name: str, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("Date") > day).then(value).otherwise(pl.col(name)).alias(name)


def decide(check: object, layout: Layout) -> Verdict:
    files: Sequence[Path] = sorted(layout.data_dir.glob("lake/features/*/*.parquet"))
    with duckdb.connect(config={"threads": 2}) as connection:
        verdict = check(connection, read_promoted(layout.models / "volume_model"), files)  # type: ignore[operator]
    assert isinstance(verdict, Verdict)
    assert "\n" not in verdict.line
    return verdict


def new_rows(layout: Layout, until: date) -> pl.DataFrame:
    return read_features(layout).drop_nulls("vol_moving_avg").filter(pl.col("Date") > until)


def constant(factor: float) -> lightgbm.Booster:
    """A booster that predicts the moving average times a factor."""
    x = np.random.default_rng(0).uniform(0, 1, (200, 2))
    data = lightgbm.Dataset(x, np.full(200, np.log(factor)))
    parameters = {"objective": "l1", "verbose": -1, "num_threads": 1, "learning_rate": 1.0}
    return lightgbm.train(parameters, data, num_boost_round=1)


def test_an_unshifted_market_is_stable(layout: Layout) -> None:
    # New rows that are old ones again: those before the day, given later dates.
    rows = read_features(layout).filter(pl.col("Date") <= UNTIL)
    shutil.rmtree(layout.data_dir / "lake/features")
    path = layout.parquet("features", "A")
    path.parent.mkdir(parents=True)
    later = rows.with_columns(pl.col("Date") + pl.duration(days=10_000))
    pl.concat([rows, later]).write_parquet(path)
    promote_model(layout, **before(layout, UNTIL))
    verdict = decide(inputs_stable, layout)

    assert verdict.passed
    assert max(verdict.indices.values()) == pytest.approx(0, abs=1e-6)
    assert verdict.facts["rows"] == len(rows.drop_nulls("vol_moving_avg"))


def test_a_shifted_market_is_not(layout: Layout) -> None:
    promote_model(layout, **before(layout, UNTIL))
    usual = decide(inputs_stable, layout)
    change(layout, since(UNTIL, "vol_moving_avg", pl.col("vol_moving_avg") * 50))
    verdict = decide(inputs_stable, layout)

    assert not verdict.passed
    assert verdict.indices["vol_moving_avg"] > 0.2 > usual.indices["vol_moving_avg"]
    assert verdict.indices["adj_close_rolling_med"] == usual.indices["adj_close_rolling_med"]
    rows = len(new_rows(layout, UNTIL))
    assert verdict.line.startswith(f"{rows:,} rows after 2019-06-28: the index is ")
    assert f"{verdict.indices['vol_moving_avg']:.3f} of vol_moving_avg" in verdict.line
    assert next(iter(verdict.indices)) == "vol_moving_avg"


def test_with_few_new_rows_the_last_quarter_is_looked_at(layout: Layout) -> None:
    promote_model(layout)
    days = sorted(day for day in set(read_features(layout)["Date"]) if day.weekday() < 5)
    verdict = decide(inputs_stable, layout)

    recent = read_features(layout).drop_nulls("vol_moving_avg").filter(pl.col("Date") >= days[-63])
    assert verdict.facts["rows"] == len(recent) > 1000
    change(layout, since(days[-64], "vol_moving_avg", pl.col("vol_moving_avg") * 50))
    assert decide(inputs_stable, layout).indices["vol_moving_avg"] > 1


def test_the_index_is_the_same_to_the_bit_each_time(layout: Layout) -> None:
    promote_model(layout, **before(layout, UNTIL))

    assert len({tuple(decide(inputs_stable, layout).indices.values()) for _ in range(20)}) == 1


@pytest.mark.parametrize(("measured", "passed"), [(0.0, False), (0.5, False), (0.8, True)])
def test_a_drift_that_the_test_window_had_is_usual(layout: Layout, measured: float, passed: bool) -> None:
    """Volumes eight times as high have an index of 1.3: more than twice 0.5, and less than twice 0.8."""
    column = "vol_moving_avg"
    promote_model(layout, **before(layout, UNTIL), metrics={"drift": {column: measured, "adj_close_rolling_med": 9}})
    change(layout, since(UNTIL, column, pl.col(column) * FACTOR))
    verdict = decide(inputs_stable, layout)

    assert 1.1 < verdict.indices[column] < 1.5
    assert verdict.passed is passed
    assert f"of {column} ({measured:.3f} in the test window)" in verdict.line


def test_an_input_that_is_gone_is_no_stable_one(layout: Layout) -> None:
    promote_model(layout, **before(layout, UNTIL))
    change(layout, since(UNTIL, "adj_close_rolling_med", pl.lit(None, pl.Float64)))
    verdict = decide(inputs_stable, layout)

    assert not verdict.passed
    assert "without values: adj_close_rolling_med" in verdict.line


def test_any_model_with_bins_can_be_watched(layout: Layout) -> None:
    rows = read_features(layout)
    training = {name: bins(rows[name].to_numpy().astype(float)) for name in ("Open", "High", "Low", "Volume")}
    promote_model(layout, inputs=list(training), input_bins=training, data={"until": "2018-12-31"})
    verdict = decide(inputs_stable, layout)

    assert set(verdict.indices) == set(training)
    assert verdict.line.count(" of ") == 3
    assert " and 1 more" in verdict.line


def test_a_model_of_all_that_is_there_is_fresh(layout: Layout) -> None:
    promote_model(layout)
    verdict = decide(model_is_fresh, layout)

    assert verdict.passed
    assert (verdict.facts["trading days behind"], verdict.facts["rows behind"]) == (0, 0)


@pytest.mark.parametrize(("behind", "fresh"), [(62, True), (63, True), (64, False)])
def test_a_model_may_be_a_quarter_old(layout: Layout, behind: int, fresh: bool) -> None:
    rows = read_features(layout)
    weekdays = sorted(day for day in set(rows["Date"]) if day.weekday() < 5)
    until = weekdays[-1 - behind]
    promote_model(layout, **before(layout, until))
    verdict = decide(model_is_fresh, layout)

    assert verdict.passed == fresh
    assert verdict.facts["trading days behind"] == behind
    assert verdict.facts["rows behind"] == len(rows.filter(pl.col("Date") > until))
    assert verdict.facts["newest"] == str(rows["Date"].max())


def test_a_stray_weekend_row_is_no_trading_day(layout: Layout) -> None:
    promote_model(layout)
    path = layout.parquet("features", "T")
    rows = pl.read_parquet(path, hive_partitioning=False)
    stray = rows[-1:].with_columns(pl.lit(date(2020, 5, 2)).alias("Date"))
    pl.concat([rows, stray]).write_parquet(path)
    verdict = decide(model_is_fresh, layout)

    assert (verdict.facts["trading days behind"], verdict.facts["rows behind"]) == (0, 1)
    assert verdict.facts["newest"] == "2020-05-02"


@pytest.mark.parametrize(("factor", "better"), [(0.5, True), (2.0, False)])
def test_skill_is_measured_on_the_rows_since_the_data(layout: Layout, factor: float, better: bool) -> None:
    less = (pl.col("vol_moving_avg") * 0.6).fill_null(0).cast(pl.Int64)
    change(layout, since(UNTIL, "Volume", less))
    promote_model(layout, constant(factor), **before(layout, UNTIL))
    verdict = decide(still_beats_baseline, layout)

    rows = new_rows(layout, UNTIL)
    volume, average = (rows[name].to_numpy().astype(float) for name in ("Volume", "vol_moving_avg"))
    ours, theirs = np.abs(factor * average - volume).mean(), np.abs(average - volume).mean()
    assert verdict.passed == better
    assert verdict.facts["rows"] == len(rows)
    assert verdict.facts["mae"] == pytest.approx(ours)
    assert verdict.facts["skill"] == pytest.approx(1 - ours / theirs)


def test_as_good_as_the_baseline_is_not_better(layout: Layout) -> None:
    promote_model(layout, constant(1.0), **before(layout, UNTIL))

    assert decide(still_beats_baseline, layout).facts["skill"] == 0
    assert not decide(still_beats_baseline, layout).passed


def test_few_rows_measure_nothing(layout: Layout) -> None:
    days = sorted(set(read_features(layout)["Date"]))
    until = next(day for day in reversed(days) if len(new_rows(layout, day)) >= 900)
    rows = len(new_rows(layout, until))
    promote_model(layout, booster_of(level=5), **before(layout, until))
    verdict = decide(still_beats_baseline, layout)

    assert 900 <= rows < 1000
    assert verdict.passed
    assert verdict.line == f"{rows} rows are newer than {until}: fewer than 1,000 measure nothing"
    assert "skill" not in verdict.facts
