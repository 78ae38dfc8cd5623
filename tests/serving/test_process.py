"""The service as a process of its own, and under load."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvicorn

from tests.serving.conftest import QUESTION, Models

LIGHT = """
import asyncio, sys
import serving.app

def heavy():
    return sorted({name.split(".")[0] for name in sys.modules} & {"dagster", "kaggle", "lightgbm", "pandas", "sklearn"})

assert not heavy(), heavy()

async def main():
    app = serving.app.app
    async with app.router.lifespan_context(app):
        return app.state.store.model.predict(12345, 25)

print(asyncio.run(main()))
assert not heavy(), heavy()
"""


def test_imports_nothing_heavy_even_for_a_prediction(models: Models) -> None:
    version, answer = models.publish()
    models.promote(version)
    done = _run("-W", "error", "-c", LIGHT, STOCK_ASSETS_DATA_DIR=str(models.data_dir))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(answer)


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    done = _run("-m", "serving", STOCK_ASSETS_DATA_DIR=str(tmp_path), STOCK_ASSETS_SERVING_PORT="0")
    assert done.returncode == 2
    assert re.fullmatch(r"STOCK_ASSETS_SERVING_PORT=0: .*\n", done.stderr)


def test_wrong_settings_are_one_line_of_uvicorn_too(tmp_path: Path) -> None:
    done = _run("-m", "uvicorn", "serving.app:app", STOCK_ASSETS_SERVING_PORT="0", STOCK_ASSETS_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"serving: STOCK_ASSETS_SERVING_PORT=0: .*\n", done.stderr)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _run("-m", "serving", STOCK_ASSETS_DATA_DIR=str(tmp_path), STOCK_ASSETS_SERVING_PORT=str(port))
    assert done.returncode == 1
    assert re.fullmatch(rf"cannot listen on 127.0.0.1 port {port}: Address already in use.*; .*\n", done.stderr)


def test_the_command_serves_logs_and_stops(models: Models) -> None:
    first, _ = models.publish()
    models.promote(first)
    port = _free_port()
    environment = _environment(STOCK_ASSETS_DATA_DIR=str(models.data_dir), STOCK_ASSETS_SERVING_PORT=str(port))
    command = [sys.executable, "-m", "serving"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if "Uvicorn running" in line:
                break
        assert httpx2.get(f"http://127.0.0.1:{port}/predict", params=QUESTION).status_code == 200
        process.terminate()
        process.wait(10)
    assert f"serving volume_model version {first}" in [json.loads(line).get("message") for line in seen]


def test_swapping_models_drops_and_mixes_no_request(models: Models) -> None:
    versions = dict(models.publish(level=level / 10) for level in range(6))
    assert len(set(versions.values())) == 6
    first, *later = versions
    models.promote(first)
    answers: list[tuple[int, str, str]] = []
    stop = threading.Event()
    with serve(models) as url, ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(_ask_until, stop, url, answers) for _ in range(4)]
        try:
            _wait_for_version(first, answers)
            for version in later:
                models.promote(version)
                _wait_for_version(version, answers)
        finally:
            stop.set()
        for asker in askers:
            asker.result()
    assert {status for status, _, _ in answers} == {200}
    assert {(version, int(text)) for _, version, text in answers} == set(versions.items())


def _ask_until(stop: threading.Event, url: str, answers: list[tuple[int, str, str]]) -> None:
    with httpx2.Client(base_url=url) as client:
        while not stop.is_set():
            response = client.get("/predict", params=QUESTION)
            answers.append((response.status_code, response.headers["x-model-version"], response.text))


def _wait_for_version(version: str, answers: list[tuple[int, str, str]]) -> None:
    deadline = time.monotonic() + 5
    while version not in {answered for _, answered, _ in answers[-100:]}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def serve(models: Models) -> Iterator[str]:
    """A real uvicorn in a thread of this process."""
    server = uvicorn.Server(uvicorn.Config(models.app(), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=_environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )


def _environment(**variables: str) -> dict[str, str]:
    return {**os.environ, **variables}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
