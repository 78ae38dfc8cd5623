"""Texts of published models: whole ones give their booster, others are refused before LightGBM meets them."""

import lightgbm
import numpy as np
import pytest

from stock_assets.learning.boosters import load_booster

X = np.random.default_rng(0).uniform(0, 1, (200, 2))


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, X[:, 0]), num_boost_round=5)


def test_a_whole_text_gives_its_booster(booster: lightgbm.Booster) -> None:
    loaded = load_booster(booster.model_to_string().encode())

    np.testing.assert_array_equal(loaded.predict(X), booster.predict(X))


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_text_that_was_cut_off_is_refused(booster: lightgbm.Booster, share: float) -> None:
    text = booster.model_to_string().split("end of trees")[0].encode()

    with pytest.raises(ValueError, match="not a complete LightGBM text"):
        load_booster(text[: int(share * len(text))])


def test_what_lightgbm_refuses_is_told_in_its_words() -> None:
    with pytest.raises(ValueError, match="LightGBM refuses it: "):
        load_booster(b"tree\n\nend of trees\n")
