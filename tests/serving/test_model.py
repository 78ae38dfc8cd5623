"""One version's answers: row by row and in batches, with intervals and warnings, against the booster and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model import Interval, LoadedModel, Range
from stock_assets.learning.lookup import tabulate
from stock_assets.learning.volume import MAX_VOLUME, Target, predict_volume
from tests.serving.conftest import train

BOOSTER = train(0.5)


def loaded(target: Target = "log_ratio", interval: Interval | None = None) -> LoadedModel:
    scores = tabulate(BOOSTER, 1)
    assert scores is not None
    ranges = {"vol_moving_avg": Range(min=10, max=1000), "adj_close_rolling_med": Range(min=1, max=900)}
    facts = {"name": "volume_model", "version": "v", "promoted_at": None, "interval": interval, "ranges": ranges}
    return LoadedModel.of_scores(scores, target=target, manifest={}, **facts)


MODELS: dict[Target, LoadedModel] = {"log_ratio": loaded("log_ratio"), "volume": loaded("volume")}


@pytest.mark.parametrize("target", MODELS)
def test_batches_answer_as_the_booster(target: Target) -> None:
    inputs = np.random.default_rng(1).uniform(0, 1200, (1000, 2))
    np.testing.assert_array_equal(MODELS[target].predict_many(inputs), predict_volume(BOOSTER, inputs, 1, target))


@given(
    volume=st.floats(0, MAX_VOLUME), price=st.floats(0, allow_infinity=False), target=st.sampled_from(sorted(MODELS))
)
def test_a_row_alone_answers_as_in_a_batch(volume: float, price: float, target: Target) -> None:
    model = MODELS[target]
    assert model.predict(volume, price) == np.rint(model.predict_many(np.array([[volume, price]]))[0])


def test_an_interval_is_a_ratio_by_bucket_rounded_outwards() -> None:
    interval = Interval(nominal=0.8, edges=[100, 1000], low=[0, 0.5, 0.8], high=[3, 2, 1.25])
    low, high = interval.around(np.array([50.0, 100.0, 999.0, 1000.0]), np.array([11.0, 101.0, 7.0, 1001.0]))
    assert low.tolist() == [0, 50, 3, 800]
    assert high.tolist() == [33, 202, 14, 1252]


def test_an_end_beyond_an_integer_is_the_largest_one() -> None:
    interval = Interval(nominal=0.8, edges=[], low=[0], high=[1e9])
    _, high = interval.around(np.array([1e15]), np.array([1e15]))
    assert 2**62 < high[0] < 2**63


def test_an_interval_needs_a_ratio_for_each_bucket() -> None:
    with pytest.raises(ValueError, match="one ratio more than edges"):
        Interval(nominal=0.8, edges=[1], low=[0.5], high=[2])


def test_rows_outside_the_range_of_training_are_told_by_input() -> None:
    outside = MODELS["volume"].outside(np.array([[10, 1], [9.9, 900], [1000.1, 901]]))
    assert {name: rows.tolist() for name, rows in outside.items()} == {
        "vol_moving_avg": [False, True, True],
        "adj_close_rolling_med": [False, False, True],
    }


def test_scores_that_could_be_no_integer_are_refused() -> None:
    scores = tabulate(train(12.0), 1)
    assert scores is not None
    with pytest.raises(ValueError, match="too large"):
        LoadedModel.of_scores(scores, target="log_ratio")
