"""What a model is worth: errors, directions and their interval, by hand."""

import numpy as np
import pytest

from stock_assets.crypto.measures import RANDOM_WALK, direction, measure_all, scaled_mae
from stock_assets.crypto.rows import PriceRows

PRICE = np.array([10.0, 11, 12, 1000, 1100, 1100])
NEXT = np.array([11.0, 12, 11, 1100, 1100, 1200])
ROWS = PriceRows(
    np.array(["a"] * 3 + ["b"] * 3, dtype=object),
    np.array(["2020-01-01", "2020-01-02", "2020-01-03"] * 2, dtype="datetime64[D]"),
    {"price": PRICE, "next_price": NEXT},
)
PREDICTED = np.array([11.0, 10.5, 11, 1050, 1101, 1100])


def test_direction_leaves_out_days_without_change() -> None:
    found = direction(ROWS, PREDICTED)

    # Right on days 1, 3 and 4; wrong on day 2; day 5 did not move; the price of today on day 6 tells nothing.
    assert (found["days"], found["share"]) == (5, 0.6)
    # Wilson's interval of 3 of 5 for z = 1.959964.
    z = 1.959964
    centre, width = (3 + z * z / 2) / (5 + z * z), z / (5 + z * z) * (3 * 2 / 5 + z * z / 4) ** 0.5
    assert (found["low"], found["high"]) == pytest.approx((centre - width, centre + width), abs=1e-6)


def test_direction_of_prices_that_never_move_is_unknown() -> None:
    still = ROWS._replace(numbers={"price": PRICE, "next_price": PRICE})

    assert direction(still, PREDICTED) == {"days": 0, "share": 0.0, "low": 0.0, "high": 1.0}


def test_assets_of_any_price_count_alike() -> None:
    a, b = (0 + 1.5 + 0) / 3 / (34 / 3), (50 + 1 + 100) / 3 / (3400 / 3)

    assert scaled_mae(ROWS, PREDICTED) == pytest.approx((a + b) / 2)


def test_errors_of_an_asset_are_in_its_prices() -> None:
    found = measure_all(ROWS, {"one": PREDICTED, "two": PRICE}, "one")
    one, walk = found["assets"]["b"]["one"], found["assets"]["b"][RANDOM_WALK]

    assert (one["rows"], one["mae"], walk["mae"]) == pytest.approx((3, 151 / 3, 200 / 3))
    assert one["rmse"] == pytest.approx(((50**2 + 1 + 100**2) / 3) ** 0.5)
    assert one["skill"] == pytest.approx(1 - 151 / 200)
    assert found["skill"][RANDOM_WALK] == pytest.approx(1 - scaled_mae(ROWS, PREDICTED) / scaled_mae(ROWS, PRICE)), (
        "the skill of all is that of the scaled errors"
    )
    assert found["candidates"]["two"]["skill"][RANDOM_WALK] == 0
    assert found["always_up"]["share"] == 0.8


def test_with_one_asset_the_skill_is_that_of_its_prices() -> None:
    places = ROWS.asset == "b"
    found = measure_all(ROWS.at(places), {"one": PREDICTED[places]}, "one")

    assert found["skill"][RANDOM_WALK] == pytest.approx(found["assets"]["b"]["one"]["skill"])
