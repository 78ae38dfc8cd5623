"""Damaged models on which LightGBM takes its process along: a child process does, the service does not."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import serving.tabulating
from serving.store import ModelStore
from tests.serving.conftest import Models, publish, sound_facts, train

FATAL: dict[str, Callable[[str], str]] = {
    "other number of leaves": lambda text: text.replace("num_leaves=", "num_leaves=1500", 1),
    "no leaf values": lambda text: re.sub(r"leaf_value=.*\n", "", text, count=1),
    "threshold that is no number": lambda text: re.sub(r"threshold=\S+", "threshold=abc", text, count=1),
    "sizes beyond the text": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=9999999", text, count=1),
}


@pytest.fixture
def in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.loading.tabulated", serving.tabulating.tabulated)


@pytest.mark.usefixtures("in_a_process")
@pytest.mark.parametrize("damage", FATAL.values(), ids=FATAL)
def test_a_text_that_kills_its_process_is_refused_and_the_old_model_goes_on(
    models: Models, damage: Callable[[str], str]
) -> None:
    good, _ = models.publish()
    models.promote(good)
    store = ModelStore(models.folder)
    store.refresh()
    booster = train(1.0)
    models.promote(publish(models.folder, damage(booster.model_to_string()), sound_facts(booster)))
    store.refresh()
    assert store.model is not None
    assert store.model.version == good
    assert store.problem is not None
    assert "refused" in store.problem


def test_the_table_of_a_process_answers_as_the_booster() -> None:
    booster = train(0.5)
    table = serving.tabulating.tabulated(booster.model_to_string().encode(), 2)
    x = np.random.default_rng(3).uniform(-10, 1200, (500, 2))
    np.testing.assert_array_equal(table.score(x[:, 0], x[:, 1]), booster.predict(x))


def test_a_refusal_comes_back_in_words() -> None:
    with pytest.raises(ValueError, match="the booster has 2 inputs, not 3"):
        serving.tabulating.tabulated(train(0.5).model_to_string().encode(), 3)


def test_an_endless_load_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.tabulating, "SECONDS", 0.01)
    with pytest.raises(ValueError, match="never returns"):
        serving.tabulating.tabulated(train(0.5).model_to_string().encode(), 2)
