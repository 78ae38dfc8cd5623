"""Nothing that comes later reaches what was known: neither features, nor labels, nor anything that is fitted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stock_assets.engines.local import LocalEngine
from stock_assets.layout import Layout
from stock_assets.learning.next_day import PARAMETERS
from stock_assets.learning.split import Split, split_by_date
from stock_assets.next_day.model import Fitted, Windows, train
from stock_assets.next_day.rows import Window, joined, read_windows
from tests.next_day.markets import Frames, build, make, prices, quicken, read_features, source_of, usual_market

Change = Callable[[dict[str, pd.DataFrame], pd.Timestamp], dict[str, pd.DataFrame]]
PRICES = ["Open", "High", "Low", "Close", "Adj Close"]
pytestmark = pytest.mark.usefixtures("quick")


def other_values(frames: dict[str, pd.DataFrame], day: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Ten times the volume and a third of the price, every third row without any volume."""
    changed = {}
    for name, frame in frames.items():
        late = frame["Date"] > day
        changed[name] = frame.assign(Volume=frame["Volume"].where(~late, frame["Volume"] * 10 + 7))
        changed[name].loc[late & (frame.index % 3 == 0), "Volume"] = 0
        changed[name].loc[late, PRICES] /= 3
    return changed


def rows_removed(frames: dict[str, pd.DataFrame], day: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Of every second symbol all that comes later, of the others every fifth row of it."""
    late = {name: frame["Date"] > day for name, frame in frames.items()}
    return {
        name: frame[~late[name] | ((place % 2 == 1) & (frame.index % 5 > 0))]
        for place, (name, frame) in enumerate(frames.items())
    }


def rows_added(frames: dict[str, pd.DataFrame], day: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """Three more months of each symbol, and symbols that are listed later, before and behind the others."""
    more = {}
    for name, frame in frames.items():
        tail = frame.tail(60)
        dates = pd.bdate_range(frame["Date"].max() + pd.Timedelta(days=1), periods=len(tail))
        more[name] = pd.concat([frame, tail.assign(Date=dates, Volume=tail["Volume"] * 4 + 1)], ignore_index=True)
    start = str((day + pd.Timedelta(days=1)).date())
    listed = {name: prices(70 + len(name), 90, start, level=17) for name in ("stocks/A", "etfs/ABA", "stocks/ZZ")}
    return more | listed


CHANGES = {"other values": other_values, "rows removed": rows_removed, "rows added": rows_added}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> Change:
    return CHANGES[request.param]


def split_of(layout: Layout) -> Split:
    with source_of(layout) as source:
        return split_by_date(np.repeat(source.market.days, source.market.rows), 0.7, 0.15)


@pytest.fixture(scope="module")
def split(usual: Layout) -> Split:
    return split_of(usual)


def following(day: np.datetime64) -> pd.Timestamp:
    """The next row's day of this market: that of the label."""
    return pd.Timestamp(np.busday_offset(day, 1))


def changed_market(tmp_path: Path, change: Change, day: pd.Timestamp) -> Layout:
    frames: Frames = change(usual_market(), day)
    return build(tmp_path / "changed", frames)


def fit(layout: Layout, split: Split) -> dict[str, Any]:
    """All that is fitted, as it is published."""
    with source_of(layout) as source:
        windows = Windows.of(source, split)
        fitted = train(list(read_windows(source, *windows)), windows, PARAMETERS, LocalEngine(1, lambda _: None))
    return as_published(fitted)


def as_published(fitted: Fitted) -> dict[str, Any]:
    texts = {name: booster.model_to_string() for name, booster in fitted.boosters._asdict().items()}
    return texts | fitted._asdict() | {"boosters": None, "baselines": fitted.baselines.as_json()}


@pytest.fixture(scope="module")
def fitted(usual: Layout, split: Split) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        return fit(usual, split)


def test_no_feature_of_a_day_knows_a_later_one(usual: Layout, tmp_path: Path, change: Change) -> None:
    day = pd.Timestamp("2015-01-02")
    before, after = read_features(usual), read_features(changed_market(tmp_path, change, day))
    early = before[before["Date"] <= day].reset_index(drop=True)

    assert len(early) > 1000
    pd.testing.assert_frame_equal(after[after["Date"] <= day].reset_index(drop=True), early, check_exact=True)
    assert not after[after["Date"] > day].reset_index(drop=True).equals(before[before["Date"] > day])


def test_no_input_of_the_market_or_of_the_session_knows_a_later_day(
    usual: Layout, tmp_path: Path, change: Change
) -> None:
    day = np.datetime64("2016-06-30")
    with source_of(usual) as source:
        before = source.market
    with source_of(changed_market(tmp_path, change, pd.Timestamp(day))) as source:
        after = source.market
    known, same = before.days <= day, after.days <= day

    np.testing.assert_array_equal(after.days[same], before.days[known])
    np.testing.assert_array_equal(after.rows[same], before.rows[known])
    np.testing.assert_array_equal(after.inputs[same], before.inputs[known])
    later = min((~known).sum(), (~same).sum())
    assert not np.array_equal(after.inputs[~same][:later], before.inputs[~known][:later], equal_nan=True)


def test_no_row_that_a_model_sees_knows_more_than_its_label(usual: Layout, tmp_path: Path, change: Change) -> None:
    """All that goes into training, with the label, which is the next day's; only that day may differ."""
    window = np.datetime64("2014-01-01"), np.datetime64("2016-06-30")
    day = following(window[1])
    found = []
    for layout in (usual, changed_market(tmp_path, change, day)):
        with source_of(layout) as source:
            found.append(joined(read_windows(source, Window(*window))))
    before, after = found

    assert len(before.days) > 4000
    for values, others in zip(before, after, strict=True):
        np.testing.assert_array_equal(others, values)


def test_nothing_after_validation_reaches_a_fit(
    fitted: dict[str, Any], tmp_path: Path, change: Change, split: Split
) -> None:
    """What is changed begins right after the last label of validation, thirty sessions before the test window."""
    day = following(split.validation_to)
    layout = changed_market(tmp_path, change, day)

    assert day < pd.Timestamp(split.test_from) - pd.Timedelta(days=35)
    assert fit(layout, split) == fitted


@pytest.mark.parametrize("window", ["train_to", "validation_to"])
def test_what_is_known_does_reach_a_fit(fitted: dict[str, Any], tmp_path: Path, split: Split, window: str) -> None:
    """The test above could fail: a day earlier there are the labels of a window's last day."""
    label = following(getattr(split, window))
    frames = usual_market()
    for frame in frames.values():
        frame.loc[frame["Date"] == label, "Volume"] *= 50
    after = fit(build(tmp_path, frames), split)
    in_validation = window == "validation_to"

    assert after["margins"] != fitted["margins"]
    assert (after["low"] == fitted["low"]) == in_validation
    assert (after["baselines"]["har"] == fitted["baselines"]["har"]) == in_validation


def test_a_window_ends_thirty_sessions_before_the_next(usual: Layout, split: Split) -> None:
    with source_of(usual) as source:
        days = source.market.days

    for end, begin in ((split.train_to, split.validation_from), (split.validation_to, split.test_from)):
        assert ((days > end) & (days < begin)).sum() == 30


def test_the_test_window_decides_nothing_but_its_measurement(usual: Layout, tmp_path: Path, split: Split) -> None:
    """Two published versions, of markets that differ from the first day of the test window on."""
    day = pd.Timestamp(split.test_from) - pd.Timedelta(days=1)
    market = usual_market()
    layouts = [build(tmp_path / "one", market), build(tmp_path / "two", other_values(market, day))]
    one, two = (make(layout) for layout in layouts)
    facts = [{name: value for name, value in made.manifest.items() if name not in CHANGING} for made in (one, two)]

    assert split_of(layouts[1]) == split
    for name in ("model.txt", "low.txt", "high.txt"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert facts[0] == facts[1]
    assert {"margins", "input_bins", "parameters", "baselines", "rows", "weights"} <= set(facts[0])
    assert one.manifest["metrics"]["split"] == two.manifest["metrics"]["split"]
    assert two.manifest["metrics"]["test"]["mae"] > 2 * one.manifest["metrics"]["test"]["mae"]


CHANGING = {"version", "created_at", "files", "data", "metrics"}
"""What a manifest says of its own time and data, and of the test window."""
