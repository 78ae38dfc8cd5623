"""Splits by time: three windows in order, a gap between them, and about the shares asked for."""

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_assets.errors import UserError
from stock_assets.learning.split import GAP, Days, Split, split_by_date, walk_forward

SATURDAY = np.timedelta64(5, "D")


def trading_days(count: int, rows_a_day: int = 1) -> Days:
    """Weekdays from a Monday on."""
    return np.repeat(np.busday_offset("2010-01-04", np.arange(count)), rows_a_day)


def weekdays_between(days: Days, one: np.datetime64, other: np.datetime64) -> int:
    between = np.unique(days[(days > one) & (days < other)])
    return int(np.is_busday(between).sum())


def check(days: Days, split: Split) -> None:
    """What every split must be."""
    masks = [split.train(days), split.validation(days), split.test(days)]
    assert (np.sum(masks, axis=0) <= 1).all()
    assert all(mask.any() for mask in masks)
    assert split.train_to < split.validation_from <= split.validation_to < split.test_from
    assert weekdays_between(days, split.train_to, split.validation_from) >= GAP
    assert weekdays_between(days, split.validation_to, split.test_from) >= GAP


def test_the_gap_is_the_window_of_the_features() -> None:
    assert GAP == 30


def test_windows_hold_their_shares() -> None:
    days = trading_days(1000, rows_a_day=3)
    split = split_by_date(days, 0.7, 0.15)

    check(days, split)
    assert split.train(days).mean() == pytest.approx(0.7, abs=0.002)
    assert split.validation(days).mean() == pytest.approx(0.15 - GAP / 1000, abs=0.002)
    assert split.test(days).mean() == pytest.approx(0.15 - GAP / 1000, abs=0.002)


def test_the_gap_is_no_longer_than_it_must_be() -> None:
    days = trading_days(1000)
    split = split_by_date(days, 0.7, 0.15)

    assert weekdays_between(days, split.train_to, split.validation_from) == GAP
    assert weekdays_between(days, split.validation_to, split.test_from) == GAP


def test_shares_are_those_of_rows_not_of_days() -> None:
    days = np.concatenate([trading_days(500), np.repeat(trading_days(1000)[500:], 9)])

    assert split_by_date(days, 0.1, 0.4).train_to == trading_days(1000)[499]


def test_the_order_of_rows_does_not_matter() -> None:
    days = trading_days(400, rows_a_day=2)

    assert split_by_date(np.random.default_rng(1).permutation(days), 0.6, 0.2) == split_by_date(days, 0.6, 0.2)


def test_weekend_rows_do_not_shorten_the_gap() -> None:
    days = trading_days(400)
    weekends = np.unique(days.astype("datetime64[W]").astype("datetime64[D]")) + SATURDAY
    split = split_by_date(np.concatenate([days, weekends, weekends + 1]), 0.6, 0.2)

    check(days, split)


def test_bounds_are_told_as_dates() -> None:
    facts = split_by_date(trading_days(400), 0.6, 0.2).as_json()

    assert facts["gap_trading_days"] == GAP
    assert set(facts) == {
        "train_to", "validation_from", "validation_to", "test_from", "test_to", "gap_trading_days",
    }  # fmt: skip
    assert facts["train_to"] == str(trading_days(400)[239])


def test_the_test_window_ends_with_the_rows() -> None:
    days = trading_days(400)
    split = split_by_date(days, 0.6, 0.2)

    assert split.test_to == days[-1]
    assert split.test(days).sum() == (days >= split.test_from).sum()


def test_folds_walk_forward_up_to_the_test_window() -> None:
    days = trading_days(2000, rows_a_day=2)
    single = split_by_date(days, 0.7, 0.15)
    folds = walk_forward(days, 0.7, 0.15, 3)

    assert len(folds) == 3
    assert folds[-1].test_to == single.validation_to
    for fold in folds:
        check(days, fold)
    for earlier, later in pairwise(folds):
        assert earlier.test_to == later.validation_to
        assert earlier.train_to < later.train_to
    assert not any((fold.test(days) & single.test(days)).any() for fold in folds)


def test_a_fold_holds_equal_parts_of_the_rows() -> None:
    days = trading_days(1000)
    (fold,) = walk_forward(days, 0.6, 0.2, 1)

    # Rows up to 80 % in two equal parts: the first, in proportion 3 : 1, trains and validates.
    assert (fold.train_to, fold.validation_to, fold.test_to) == tuple(days[[299, 399, 799]])
    assert fold.test(days).sum() == 400 - GAP


def test_no_folds_are_no_splits() -> None:
    assert walk_forward(trading_days(400), 0.7, 0.15, 0) == []


def test_folds_of_too_few_days_are_told() -> None:
    with pytest.raises(UserError, match=r"STOCK_ASSETS_FOLDS$"):
        walk_forward(trading_days(400), 0.7, 0.15, 8)


@pytest.mark.parametrize(
    ("count", "train_share", "validation_share"),
    [(0, 0.7, 0.15), (1, 0.7, 0.15), (62, 0.7, 0.15), (200, 0.7, 0.1), (1000, 0.8, 0.2), (1000, 0.99, 0.005)],
)
def test_too_few_days_are_told(count: int, train_share: float, validation_share: float) -> None:
    with pytest.raises(UserError, match=r"^too few trading days to split by time .*STOCK_ASSETS_TRAIN_SHARE"):
        split_by_date(trading_days(count), train_share, validation_share)


def test_weekends_alone_are_too_few_days() -> None:
    with pytest.raises(UserError, match="too few trading days"):
        split_by_date(trading_days(400).astype("datetime64[W]").astype("datetime64[D]") + 2, 0.7, 0.15)


def random_days(seed: int, rows: int, years: int) -> Days:
    return np.datetime64("2015-01-01") + np.random.default_rng(seed).integers(0, 365 * years, rows)


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1500, 3000),
    years=st.integers(2, 6),
    train_share=st.floats(0.2, 0.65),
    validation_share=st.floats(0.15, 0.2),
)
def test_enough_days_are_always_split(
    seed: int, rows: int, years: int, train_share: float, validation_share: float
) -> None:
    days = random_days(seed, rows, years)

    check(days, split_by_date(days, train_share, validation_share))


@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 300),
    train_share=st.floats(0.01, 0.99),
    validation_share=st.floats(0.01, 0.99),
)
def test_few_days_are_split_soundly_or_not_at_all(
    seed: int, rows: int, train_share: float, validation_share: float
) -> None:
    days = random_days(seed, rows, years=1)
    with suppress(UserError):
        check(days, split_by_date(days, train_share, validation_share))
