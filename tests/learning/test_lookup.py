"""The table of a booster against the booster itself: the same scores to the bit, also at and around each threshold."""

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stock_assets.learning import lookup
from stock_assets.learning.lookup import ZERO, ScoreTable, tabulate

Array = NDArray[np.float64]
AWKWARD = (0.0, -0.0, ZERO, -ZERO, 5e-36, -5e-36, 1e-300, 5e-324, -5e-324, 1e-20, -1e-20, 1e15, 1e300, -1e300)
BEYOND = (np.inf, -np.inf, np.nan)
KINDS = {
    "log_ratio": {"objective": "l1"},
    "volumes": {"objective": "poisson"},
    "zero_is_missing": {"zero_as_missing": True},
    "one_leaf": {"min_gain_to_split": 1e12},
}


def train(columns: int = 2, **parameters: object) -> lightgbm.Booster:
    """A booster whose inputs hold negative numbers, zeros, and numbers from tiny to huge."""
    rng = np.random.default_rng(1)
    x = np.exp(rng.normal(0, 8, (4000, columns))) * rng.choice([-1, 0, 1, 1, 1], (4000, columns))
    y = 2 + np.sin(np.cbrt(x[:, 0])) + (x[:, 1] > 0) + rng.normal(0, 0.1, 4000) ** 2
    settings = {"num_leaves": 31, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "learning_rate": 0.3}
    return lightgbm.train(settings | parameters, lightgbm.Dataset(x, y), num_boost_round=25)


@pytest.fixture(scope="module", params=KINDS)
def booster(request: pytest.FixtureRequest) -> lightgbm.Booster:
    return train(**KINDS[request.param])


@pytest.fixture(scope="module")
def table(booster: lightgbm.Booster) -> ScoreTable:
    made = tabulate(booster, threads=1)
    assert made is not None
    return made


def assert_same(booster: lightgbm.Booster, table: ScoreTable, rows: Array) -> None:
    np.testing.assert_array_equal(table.score(*rows.T), booster.predict(rows, num_threads=1))


def around(edges: Array) -> Array:
    """Each edge, the numbers next to it, and some between."""
    between = (edges[1:] + edges[:-1]) / 2
    return np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), between])


def test_every_pair_of_numbers_around_thresholds(booster: lightgbm.Booster, table: ScoreTable) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        values = [np.concatenate([around(edges[:-1]), AWKWARD, BEYOND]) for edges in table.edges]
    rng = np.random.default_rng(2)
    rows = np.stack([rng.choice(column, 200_000) for column in values], axis=1)

    assert_same(booster, table, rows)


@property_settings(max_examples=200)
@given(rows=st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=50))
def test_any_numbers(booster: lightgbm.Booster, table: ScoreTable, rows: list[tuple[float, float]]) -> None:
    assert_same(booster, table, np.array(rows))


def test_thresholds_are_those_of_the_text(booster: lightgbm.Booster, table: ScoreTable) -> None:
    lines = [line for line in booster.model_to_string().splitlines() if line.startswith("threshold=")]
    found = {float(number) for line in lines for number in line.removeprefix("threshold=").split()}

    assert found <= set(np.concatenate(table.edges))


def test_a_booster_that_was_loaded_from_its_text_has_the_same_table(booster: lightgbm.Booster) -> None:
    loaded = lightgbm.Booster(model_str=booster.model_to_string())
    first, second = tabulate(booster, 1), tabulate(loaded, 1)

    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.scores, second.scores)


def test_too_many_cells_make_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MAX_CELLS", 1000)

    assert tabulate(train(), threads=1) is None


def test_splits_by_category_make_no_table() -> None:
    x = np.random.default_rng(3).integers(0, 6, (3000, 2)).astype(float)
    y = np.isin(x[:, 0], [1, 4]) + 0.1 * x[:, 1]
    parameters = {"verbose": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1}
    data = lightgbm.Dataset(x, y, categorical_feature=[0])

    assert tabulate(lightgbm.train(parameters, data, num_boost_round=3), threads=1) is None
