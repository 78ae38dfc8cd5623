"""What Prometheus is told of one process; `test_workers` has several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

import serving.metrics
from serving.app import create_app
from stock_assets.settings import Settings
from tests.serving.conftest import QUESTION, Models


def counted(client: TestClient, name: str = "serving_requests_total", **labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric that have these labels, by the values of all."""
    families = text_string_to_metric_families(client.get("/metrics", headers={"X-API-Key": "a" * 16}).text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(s.labels.values()): s.value for s in samples if labels.items() <= s.labels.items()}


def grown(client: TestClient, before: dict[tuple[str, ...], float], **labels: str) -> dict[tuple[str, ...], float]:
    now = counted(client, **labels)
    return {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}


def test_requests_are_counted_by_route_and_answer(good_client: TestClient) -> None:
    before = counted(good_client)
    for price in ("25", "26", "-1"):
        good_client.get("/predict", params=QUESTION | {"adj_close_rolling_med": price})
    good_client.get("/health/live")
    good_client.delete("/health/live")
    good_client.get("/static-offline-docs/swagger-ui.css")
    assert grown(good_client, before) == {
        ("GET", "/predict", "200"): 2,
        ("GET", "/predict", "422"): 1,
        ("GET", "/health/live", "200"): 1,
        ("DELETE", "/health/live", "405"): 1,
        ("GET", "unmatched", "200"): 1,  # FastAPI names no route for a folder of files
        ("GET", "/metrics", "200"): 1,
    }


def test_predictions_are_counted_by_version(good_client: TestClient) -> None:
    version = good_client.get("/health/ready").json()["version"]
    before = counted(good_client, "serving_predictions_total", version=version)
    good_client.get("/predict", params=QUESTION)
    after = counted(good_client, "serving_predictions_total", version=version)
    assert sum(after.values()) - sum(before.values()) == 1


def test_what_clients_make_up_makes_no_labels(good_client: TestClient) -> None:
    before = counted(good_client)
    for number in range(20):
        good_client.request(f"MADE{number}", f"/up{number}")
        good_client.get("/models/volume_model", params={"up": number})
    made = grown(good_client, before, method="other")
    assert made == {("other", "unmatched", "404"): 20}
    assert not [key for key in grown(good_client, before) if "up" in key[1]]


def test_refusals_are_counted(models: Models) -> None:
    models.promote(models.publish()[0])
    settings = Settings(data_dir=models.data_dir, api_keys=SecretStr("a" * 16), rate_limit="6/hour", max_body_mb=1)
    with TestClient(create_app(settings)) as client:
        before = counted(client)
        client.get("/predict", params=QUESTION)
        client.post(
            "/predict", content=b" " * 1_000_001, headers={"X-API-Key": "a" * 16, "Content-Type": "application/json"}
        )
        statuses = {key[2] for key in grown(client, before)}
        assert {"401", "413"} <= statuses
        while client.get("/predict", params=QUESTION).status_code != 429:
            pass
        assert "429" in {key[2] for key in grown(client, before)}


def test_it_is_the_text_that_prometheus_reads(good_client: TestClient) -> None:
    assert good_client.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    assert "text/plain" in str(good_client.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]["200"])


def test_the_time_of_requests_is_measured(good_client: TestClient) -> None:
    before = counted(good_client, "serving_request_seconds_count", route="/predict")
    good_client.get("/predict", params=QUESTION)
    after = counted(good_client, "serving_request_seconds_count", route="/predict")
    assert after[("/predict",)] - before.get(("/predict",), 0) == 1


def test_a_worker_that_is_gone_is_left_out_of_the_gauges_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_badly = """
import os, serving.metrics as metrics
metrics.MODEL_WORKERS.labels("volume_model", "v1").set(1)
metrics.REQUESTS.labels("GET", "/predict", 200).inc(7)
os.kill(os.getpid(), 9)
"""
    environment = os.environ | {serving.metrics.FOLDER: str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", ends_badly], env=environment, check=False).returncode == -9
    monkeypatch.setenv(serving.metrics.FOLDER, str(tmp_path))
    assert list(tmp_path.glob("gauge_livesum_*.db"))
    text = serving.metrics.exposition().decode()
    assert 'serving_requests_total{method="GET",route="/predict",status="200"} 7.0' in text
    assert "serving_model_workers{" not in text
