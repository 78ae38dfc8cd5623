"""What the service keeps of its answers, and that nothing waits for it."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from serving.app import create_app
from serving.backlog import Backlog
from serving.loading import load_version
from serving.model import LoadedModel
from serving.recording import Recorder
from serving.store import ModelStore
from tests.serving.conftest import QUESTION, Models

DROPPED = "serving_prediction_log_dropped_rows_total"


def served(models: Models, level: float = 0.0, **settings: Any) -> tuple[str, TestClient]:
    """A promoted version, and a client of a service with these settings that has not started yet."""
    version, _ = models.publish(level)
    models.promote(version)
    return version, TestClient(create_app(models.settings().model_copy(update=settings)))


def logged(models: Models) -> pl.DataFrame:
    return pl.read_parquet(models.data_dir / "logs" / "predictions" / "*.parquet").sort("time")


def dropped() -> float:
    return REGISTRY.get_sample_value(DROPPED) or 0.0


@pytest.fixture
def model(models: Models) -> LoadedModel:
    return load_version(models.folder, models.publish()[0])


def test_the_log_has_each_prediction_once_the_service_ended(models: Models) -> None:
    version, client = served(models, prediction_log=True)
    questions = [{"vol_moving_avg": 1000.5 * n, "adj_close_rolling_med": 3.25 * n} for n in range(1, 6)]
    before = time.time()
    with client:
        answers = [
            client.get("/predict", params=question, headers={"X-Request-Id": f"id-{n}"}).json()
            for n, question in enumerate(questions)
        ]
    log = logged(models)
    assert log.drop("time").to_dicts() == [
        {"request_id": f"id-{n}", "version": version, **question, "volume": answer, "shadow_version": None}
        | {"shadow_volume": None}
        for n, (question, answer) in enumerate(zip(questions, answers, strict=True))
    ]
    times = log["time"].dt.timestamp("us") / 1e6
    assert times.is_sorted()
    assert times.is_between(before - 0.001, time.time()).all()


def test_what_is_not_answered_is_not_logged(models: Models) -> None:
    _, client = served(models, prediction_log=True)
    with client:
        assert client.get("/predict", params={**QUESTION, "vol_moving_avg": -1}).status_code == 422
        assert client.get("/predict", params={**QUESTION, "version": "none"}).status_code == 404
        client.get("/health/ready")
    assert not (models.data_dir / "logs").exists()


def test_without_the_settings_nothing_is_kept_and_no_thread_runs(models: Models) -> None:
    _, client = served(models)
    with client:
        client.get("/predict", params=QUESTION)
        assert "predictions" not in {thread.name for thread in threading.enumerate()}
    assert not (models.data_dir / "logs").exists()


def test_the_version_that_was_asked_for_is_the_one_that_is_logged(models: Models) -> None:
    other, answer = models.publish(level=1.0)
    version, client = served(models, prediction_log=True)
    with client:
        client.get("/predict", params=QUESTION)
        client.get("/predict", params={**QUESTION, "version": other})
    assert logged(models)["version"].to_list() == [version, other]
    assert logged(models)["volume"].to_list()[1] == answer


def test_a_batch_is_logged_as_rows_of_one_request(models: Models, model: LoadedModel) -> None:
    inputs = np.random.default_rng(0).uniform(1, 1000, (1000, 2))
    volumes = 2**60 + np.arange(1000)  # floats could not tell them apart

    def tell(recorder: Recorder) -> None:
        recorder.of("batch").many(model, inputs, volumes)
        recorder.of("one").one(model, (1.5, 2.5), 7)

    recording(models, tell)
    log = logged(models)
    assert log["request_id"].value_counts().sort("request_id").rows() == [("batch", 1000), ("one", 1)]
    batch = log.filter(request_id="batch")
    assert np.array_equal(batch.select("vol_moving_avg", "adj_close_rolling_med").to_numpy(), inputs)
    assert batch["volume"].to_list() == volumes.tolist()


def test_nothing_waits_for_a_disk_that_hangs_and_what_is_too_much_is_counted(
    models: Models, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, seconds, before = threading.Event(), [], dropped()

    def tell(recorder: Recorder) -> None:
        recorder.of("first").one(model, (1.0, 1.0), 1)
        assert hanging.wait(5)
        for _ in range(100):
            start = time.perf_counter()
            recorder.of("many").many(model, np.ones((20_000, 2)), np.ones(20_000, dtype=int))
            seconds.append(time.perf_counter() - start)
        release.set()

    def hang(_: object) -> None:
        hanging.set()
        assert release.wait(10)

    release = threading.Event()
    monkeypatch.setattr("serving.prediction_log._make_room", hang)
    monkeypatch.setattr("serving.prediction_log.SECONDS_A_FILE", 0)
    monkeypatch.setattr("serving.recording.PASS_ON_SECONDS", 0.01)
    recording(models, tell)
    assert sorted(seconds)[50] < 0.001
    assert dropped() - before == 50 * 20_000
    assert len(logged(models)) == 1 + 50 * 20_000


def test_the_backlog_is_bounded_in_requests_too(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.backlog.MOST_REQUESTS", 3)
    backlog = Backlog()
    assert [backlog.add("id", model, (1.0, 1.0), 1) for _ in range(5)] == [0, 0, 0, 1, 1]
    assert len(backlog.take()) == 3
    assert backlog.add("id", model, (1.0, 1.0), 1) == 0


def test_a_batch_larger_than_the_backlog_is_taken_when_nothing_else_waits(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.backlog.MOST_ROWS", 10)
    backlog = Backlog()
    assert backlog.add("id", model, np.ones((50, 2)), np.ones(50, dtype=int)) == 0
    assert backlog.wake.is_set()
    assert backlog.add("id", model, (1.0, 1.0), 1) == 1


def test_a_thread_that_fails_says_so_and_leaves_the_service_in_peace(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serving.recording.rows_of", lambda _: 1 / 0)
    _, client = served(models, prediction_log=True)
    with client:
        assert client.get("/predict", params=QUESTION).status_code == 200
    assert "predictions are not logged or compared any more; restart the service" in caplog.messages


def recording(models: Models, tell: Callable[[Recorder], None]) -> None:
    """A recorder at work that is told something."""

    async def work() -> None:
        recorder, settings = Recorder(), models.settings().model_copy(update={"prediction_log": True})
        async with recorder.at_work(settings, ModelStore(models.folder)):
            await asyncio.to_thread(tell, recorder)

    asyncio.run(work())
