"""Damaged models on which LightGBM takes its process along: a child process does, the service does not."""

import re
from collections.abc import Callable

import pytest

import serving.trial
from serving.store import ModelStore
from stock_assets.registry import read_pointer
from tests.serving.conftest import Models, publish, sound_facts, train

FATAL: dict[str, Callable[[str], str]] = {
    "other number of leaves": lambda text: text.replace("num_leaves=", "num_leaves=1500", 1),
    "no leaf values": lambda text: re.sub(r"leaf_value=.*\n", "", text, count=1),
    "threshold that is no number": lambda text: re.sub(r"threshold=\S+", "threshold=abc", text, count=1),
    "sizes beyond the text": lambda text: re.sub(r"tree_sizes=\d+", "tree_sizes=9999999", text, count=1),
}


@pytest.fixture
def with_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.store.survives", serving.trial.survives)


@pytest.mark.usefixtures("with_trial")
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


def test_an_endless_load_ends(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.trial, "SECONDS", 0.01)
    models.promote(models.publish()[0])
    pointer = read_pointer(models.folder)
    assert pointer is not None
    assert not serving.trial.survives(models.folder, pointer)
