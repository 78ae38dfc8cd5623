import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from tests.serving.conftest import QUESTION, Models


def test_alive_but_not_ready_before_the_first_model(client: TestClient, models: Models) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    reason = "no volume_model has been promoted; run the pipeline (make run)"
    for path in ("/health/ready", "/predict"):
        response = client.get(path, params=QUESTION)
        assert response.status_code == 503
        assert response.json() == {"detail": reason}
    assert not models.data_dir.exists()


def test_the_first_model_is_served_without_a_restart(client: TestClient, models: Models) -> None:
    assert client.get("/predict", params=QUESTION).status_code == 503
    version, answer = models.publish()
    models.promote(version)
    _wait(lambda: client.get("/health/ready").status_code == 200)
    assert client.get("/predict", params=QUESTION).text == str(answer)


def test_ready_names_the_model(models: Models) -> None:
    version, _ = models.publish()
    models.promote(version)
    with TestClient(models.app()) as client:
        ready = client.get("/health/ready").json()
    assert ready.pop("promoted_at")
    assert ready == {"status": "ready", "model": "volume_model", "version": version, "problem": None}


def test_a_broken_version_leaves_the_old_one_in_service(models: Models) -> None:
    good, answer = models.publish()
    models.promote(good)
    with TestClient(models.app()) as client:
        broken, _ = models.publish(level=1.0)
        (models.folder / broken / "model.txt").unlink()
        models.promote(broken)
        problem = _wait(lambda: client.get("/health/ready").json()["problem"])
        assert broken in problem
        assert f"version {good} stays in service" in problem
        response = client.get("/predict", params=QUESTION)
    assert (response.text, response.headers["x-model-version"]) == (str(answer), good)


def test_a_broken_first_version_is_the_reason_of_not_being_ready(models: Models) -> None:
    version, _ = models.publish()
    models.promote(version)
    (models.folder / version / "model.txt").write_text("changed")
    with TestClient(models.app()) as client:
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert "it was changed" in response.json()["detail"]


def test_a_vanished_pointer_leaves_the_model_in_service(models: Models) -> None:
    version, _ = models.publish()
    models.promote(version)
    with TestClient(models.app()) as client:
        shutil.rmtree(models.folder)
        assert "latest.json is gone" in _wait(lambda: client.get("/health/ready").json()["problem"])
        assert client.get("/predict", params=QUESTION).headers["x-model-version"] == version


def test_the_docs_need_no_other_host(good_client: TestClient) -> None:
    page = good_client.get("/docs").text
    assert "//" not in re.sub(r"<!--.*?-->", "", page)
    files = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert {Path(file).suffix for file in files} == {".js", ".css", ".png"}
    for file in files:
        response = good_client.get(file)
        assert response.status_code == 200
        assert len(response.content) > 500


def _wait(probe: Callable[[], Any], seconds: float = 5) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing after {seconds} s")
