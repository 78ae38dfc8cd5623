"""Tiny real models, published and promoted as the pipeline does it, and a client over them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import serving.tabulating
from serving.app import create_app
from stock_assets.registry import MODEL_FILE, promote, publish_version
from stock_assets.settings import Settings

INPUTS = ["vol_moving_avg", "adj_close_rolling_med"]
SELF_TEST = np.array([[12345, 25], [1000, 1.5], [0, 10], [2e6, 300]], dtype=float)
QUESTION = {"vol_moving_avg": 12345, "adj_close_rolling_med": 25}


def train(level: float, columns: int = 2) -> lightgbm.Booster:
    """A booster whose scores lie around `level` and vary with both inputs."""
    x = np.random.default_rng(0).uniform(0, 1000, (300, columns))
    y = level + 0.3 * np.sin(x[:, 0] / 150) + 0.2 * (x[:, 1] > 400)
    parameters = {"num_leaves": 7, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lightgbm.train(parameters, lightgbm.Dataset(x, y), num_boost_round=10)


def expected_volume(booster: lightgbm.Booster, vol_moving_avg: float, adj_close: float) -> int:
    """The answer by the model's definition: its score is log(volume / moving average)."""
    score = booster.predict(np.array([[vol_moving_avg, adj_close]]), num_threads=1)[0]
    return round(vol_moving_avg * float(np.exp(score)))


def publish(folder: Path, text: str | bytes, facts: dict[str, Any]) -> str:
    """A version with any model text and manifest facts; gives the version."""

    def write(place: Path) -> dict[str, Any]:
        (place / MODEL_FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
        return facts

    return publish_version(folder, write)[0]


def sound_facts(booster: lightgbm.Booster) -> dict[str, Any]:
    """What the manifest of a good model says of its inputs and its self-test."""
    outputs = SELF_TEST[:, 0] * np.exp(booster.predict(SELF_TEST))
    self_test = {"inputs": SELF_TEST.tolist(), "outputs": outputs.tolist()}
    return {"inputs": INPUTS, "target": "log_ratio", "self_test": self_test}


EDGE = 1000.0
INTERVAL = {"nominal": 0.8, "edges": [EDGE], "low": [0.5, 0.9], "high": [3.0, 1.5]}
RANGES = {"vol_moving_avg": {"min": 10, "max": 2000}, "adj_close_rolling_med": {"min": 1, "max": 500}}
"""An interval and ranges of training, for models that have them."""


@dataclass(frozen=True)
class Models:
    """The folder `models/volume_model` of one data folder, and what a test does with it."""

    data_dir: Path

    @property
    def folder(self) -> Path:
        return self.data_dir / "models" / "volume_model"

    @property
    def pointer(self) -> Path:
        return self.folder / "latest.json"

    def publish(self, level: float = 0.0) -> tuple[str, int]:
        """Publish a good model; gives its version and its answer to `QUESTION`."""
        booster = train(level)
        version = publish(self.folder, booster.model_to_string(), sound_facts(booster))
        return version, expected_volume(booster, *QUESTION.values())

    def promote(self, version: str) -> None:
        promote(self.folder, version, "volume_model", "a-run")

    def settings(self) -> Settings:
        return Settings(data_dir=self.data_dir, reload_seconds=0.05)

    def app(self) -> FastAPI:
        return create_app(self.settings())


@pytest.fixture(autouse=True, scope="session")
def without_process() -> Iterator[None]:
    """Most models here are harmless; a process for each would take minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.loading.tabulated", serving.tabulating.table_of)
        yield


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "data")


@pytest.fixture
def client(models: Models) -> Iterator[TestClient]:
    """A running service; what is promoted before this fixture is asked for is loaded at its start."""
    with TestClient(models.app()) as client:
        yield client


@pytest.fixture(scope="module")
def good_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A running service with a model, shared by the tests that only ask it."""
    models = Models(tmp_path_factory.mktemp("data"))
    models.promote(models.publish()[0])
    with TestClient(models.app()) as client:
        yield client


def promote_with_interval(models: Models) -> str:
    booster = train(0.0)
    facts = {**sound_facts(booster), "interval": INTERVAL, "input_ranges": RANGES}
    version = publish(models.folder, booster.model_to_string(), facts)
    models.promote(version)
    return version


@pytest.fixture(scope="module")
def wary_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with a model that has an interval and ranges of training."""
    models = Models(tmp_path_factory.mktemp("data"))
    promote_with_interval(models)
    with TestClient(models.app()) as client:
        yield client


@pytest.fixture(scope="module")
def small_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that takes ten rows at most."""
    models = Models(tmp_path_factory.mktemp("data"))
    models.promote(models.publish()[0])
    with TestClient(create_app(models.settings().model_copy(update={"max_rows": 10}))) as client:
        yield client
