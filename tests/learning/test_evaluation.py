"""The measurement of a model against pandas, scikit-learn and numbers worked by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error

from stock_assets.learning.evaluation import (
    BLOCK,
    LIQUIDITY_LABELS,
    RESAMPLES,
    SEED,
    Group,
    liquidity,
    measure,
    skill_interval,
    years,
)
from stock_assets.learning.metrics import score

ROWS = 3000
RNG = np.random.default_rng(11)
DAYS = RNG.permutation(np.repeat(np.busday_offset("2018-01-01", np.arange(500)), ROWS // 500))
AVERAGE = RNG.lognormal(10, 3, ROWS)
ACTUAL = np.floor(AVERAGE * RNG.lognormal(-0.1, 0.6, ROWS))
PREDICTED = AVERAGE * 0.9
GROUPS = {"liquidity": liquidity(AVERAGE), "year": years(DAYS)}
METRICS = measure(DAYS, ACTUAL, PREDICTED, {"average": AVERAGE, "zero": np.zeros(ROWS)}, GROUPS)


def test_the_model_and_its_baselines_are_scored_on_the_same_rows() -> None:
    window = {"rows": ROWS, "from": str(DAYS.min()), "to": str(DAYS.max())}

    assert METRICS["test"] == window | score(ACTUAL, PREDICTED)
    assert METRICS["baselines"] == {
        "average": window | score(ACTUAL, AVERAGE),
        "zero": window | score(ACTUAL, np.zeros(ROWS)),
    }
    assert METRICS["skill"]["average"] == pytest.approx(
        1 - mean_absolute_error(ACTUAL, PREDICTED) / mean_absolute_error(ACTUAL, AVERAGE)
    )


def test_it_is_json() -> None:
    assert json.loads(json.dumps(METRICS, allow_nan=False)) == METRICS


def test_the_interval_is_that_of_whole_blocks_drawn_row_by_row() -> None:
    frame = pd.DataFrame({"day": DAYS, "model": np.abs(PREDICTED - ACTUAL), "baseline": np.abs(AVERAGE - ACTUAL)})
    dates = np.sort(frame["day"].unique())
    blocks = [frame[frame["day"].isin(dates[start : start + 20])] for start in range(0, len(dates), 20)]
    drawn = np.random.default_rng(SEED).integers(0, len(blocks), (RESAMPLES, len(blocks)))
    skills = []
    for places in drawn:
        sample = pd.concat([blocks[place] for place in places])
        skills.append(1 - sample["model"].mean() / sample["baseline"].mean())

    assert (BLOCK, RESAMPLES, len(blocks)) == (20, 1000, 25)
    assert METRICS["skill_interval"]["average"] == pytest.approx(np.quantile(skills, [0.025, 0.975]))
    low, high = METRICS["skill_interval"]["average"]
    assert low < METRICS["skill"]["average"] < high


def test_dates_that_err_together_widen_the_interval() -> None:
    dates = np.repeat(np.arange(400), 5)
    good = dates // 20 % 2 == 0
    errors = np.where(good, 50.0, 110.0)

    together = skill_interval(dates // 20, errors, np.full(len(dates), 100.0))
    alone = skill_interval(np.arange(len(dates)), errors, np.full(len(dates), 100.0))

    assert np.diff(together) > 3 * np.diff(alone)


def test_a_model_that_always_saves_the_same_has_no_width() -> None:
    errors = RNG.lognormal(3, 1, 100)

    assert skill_interval(np.arange(100) // 20, errors / 4, errors) == pytest.approx([0.75, 0.75])


def test_one_block_is_its_own_interval() -> None:
    assert skill_interval(np.zeros(10, dtype=np.intp), np.full(10, 1.0), np.full(10, 2.0)) == [0.5, 0.5]


def test_a_weekend_does_not_make_a_block_longer() -> None:
    few = np.array(["2020-01-02", "2020-03-02", "2021-01-04"], dtype="datetime64[D]")
    metrics = measure(few, np.ones(3), np.ones(3), {"two": np.full(3, 2.0)}, {})

    assert metrics["skill_interval"] == {"two": [1, 1]}


@pytest.mark.parametrize("group", list(GROUPS))
def test_slices_are_those_of_pandas(group: str) -> None:
    codes, labels = GROUPS[group]
    frame = pd.DataFrame({"label": [labels[code] for code in codes], "actual": ACTUAL, "predicted": PREDICTED})
    frame["average"] = AVERAGE
    found = METRICS["slices"][group]

    assert set(found) == set(frame["label"])
    assert sum(facts["rows"] for facts in found.values()) == ROWS
    for label, rows in frame.groupby("label"):
        expected = score(rows["actual"].to_numpy(), rows["predicted"].to_numpy())
        saved = 1 - expected["mae"] / (rows["average"] - rows["actual"]).abs().mean()
        facts = found[label]
        assert facts["rows"] == len(rows)
        for name in ("mae", "median_ape", "wape", "r2_log"):
            assert facts[name] == pytest.approx(expected[name])
        assert facts["skill"]["average"] == pytest.approx(saved)
        assert set(facts) == {"rows", "mae", "median_ape", "wape", "r2_log", "skill"}


def test_labels_keep_their_order_and_those_without_rows_are_left_out() -> None:
    group = Group(np.array([2, 0, 2]), ("c", "b", "a"))
    metrics = measure(DAYS[:3], ACTUAL[:3], PREDICTED[:3], {}, {"some": group})

    assert list(metrics["slices"]["some"]) == ["c", "a"]


def test_buckets_of_liquidity() -> None:
    codes, labels = liquidity(np.array([0, 999.9, 1e3, 9_999, 1e4, 1e5, 1e6, 9_999_999, 1e7, 1e12]))

    assert labels == LIQUIDITY_LABELS
    assert list(codes) == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5]


def test_years_are_those_of_the_calendar() -> None:
    codes, labels = years(np.array(["1969-12-31", "1970-01-01", "1972-06-01"], dtype="datetime64[D]"))

    assert [labels[code] for code in codes] == ["1969", "1970", "1972"]
    assert labels == ("1969", "1970", "1971", "1972")
