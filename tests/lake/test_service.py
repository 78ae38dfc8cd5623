"""The service as a process of its own, on a host that has nothing but the address of a lake on S3."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stock_assets.lake_publishing import publish
from stock_assets.settings import Settings
from tests.conftest import Built
from tests.helpers import child_environment, digests, free_port, litter, stock_assets_here
from tests.lake.ceph import Ceph
from tests.promoted_model import copy_market
from tests.serving.conftest import QUESTION, Models

pytestmark = pytest.mark.slow

PATIENCE = 180.0
"""Seconds, for a machine that is busy with other tests too."""


@contextmanager
def service(data_dir: Path, lake: str, workers: int) -> Iterator[httpx2.Client]:
    port = free_port()
    variables = {
        "STOCK_ASSETS_DATA_DIR": str(data_dir),
        "STOCK_ASSETS_LAKE_URL": lake,
        "STOCK_ASSETS_SERVING_FROM_LAKE": "true",
        "STOCK_ASSETS_SERVING_PORT": str(port),
        "STOCK_ASSETS_SERVING_WORKERS": str(workers),
    }
    command = [sys.executable, "-m", "serving"]
    log = data_dir.with_name(f"{data_dir.name}.log")
    with log.open("a") as out:
        process = subprocess.Popen(command, env=child_environment(variables), cwd=data_dir.parent, stderr=out)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.terminate()
        try:
            assert process.wait(20) in (0, -15)
        finally:
            process.kill()


def eventually(ask: Callable[[], Any], expected: object) -> None:
    """Until it answers so, several times in a row: there may be several workers."""
    deadline, right = time.monotonic() + PATIENCE, 0
    while right < 8:
        try:
            found = ask()
        except httpx2.TransportError as error:
            found = error
        right = right + 1 if found == expected else 0
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_serves_from_s3_and_follows_promotions(
    ceph_server: Ceph, demo_market: Built, tmp_path: Path, workers: int
) -> None:
    os.environ.update(ceph_server.environment())  # until the test ends
    url = ceph_server.make_bucket()
    layout, served = copy_market(demo_market.layout, tmp_path / "pipeline"), tmp_path / "served"
    models = Models(layout.data_dir)
    old, old_answer = models.publish(0.0)
    new, new_answer = models.publish(0.5)
    models.promote(old)
    publish(Settings(data_dir=layout.data_dir, lake_url=url), lambda _: None)

    with service(served, url, workers) as client:

        def answer() -> Any:
            return client.get("/predict", params=QUESTION).json()

        eventually(answer, old_answer)
        variables = {"STOCK_ASSETS_DATA_DIR": str(layout.data_dir), "STOCK_ASSETS_LAKE_URL": url}
        promoted = stock_assets_here("models", "promote", "volume_model", new, "--force", variables=variables)
        assert (promoted.returncode, promoted.stderr) == (0, "")
        eventually(answer, new_answer)
        back = stock_assets_here("models", "rollback", "volume_model", variables=variables)
        assert (back.returncode, back.stderr) == (0, "")
        eventually(answer, old_answer)
        pattern = "lake/features/*/*.parquet"
        eventually(lambda: digests(served, pattern), digests(layout.data_dir, pattern))
        assert client.get("/health/ready").json()["version"] == old

    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    with service(served, url, workers) as client:
        eventually(lambda: client.get("/predict", params=QUESTION).json(), old_answer)
    log = (tmp_path / "served.log").read_text("utf-8")
    assert log.count("the service goes on with what it has of the lake: ") == 1
    assert "Traceback" not in log
    assert litter(served) == []
