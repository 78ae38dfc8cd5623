"""Two workers as processes: sums over both, and one of them killed under load."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers import free_port
from tests.serving.conftest import QUESTION, Models

pytestmark = pytest.mark.slow


@dataclass
class Service:
    process: subprocess.Popen[str]
    client: httpx2.Client
    log: list[str] = field(default_factory=list)

    def get(self, path: str, **parameters: Any) -> httpx2.Response:
        """On a connection of its own, so that the kernel chooses a worker each time."""
        return self.client.get(path, params=parameters, headers={"Connection": "close"})

    def sum_of(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    @property
    def predictions(self) -> float:
        return self.sum_of("serving_requests_total", route="/predict", status="200")

    @property
    def workers(self) -> set[int]:
        """The processes that uvicorn has started, without Python's own helper."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii").split()
        return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    models = Models(tmp_path_factory.mktemp("data"))
    models.promote(models.publish()[0])
    with served(models, STOCK_ASSETS_SERVING_WORKERS="2") as running:
        yield running


@contextmanager
def served(models: Models, **variables: str) -> Iterator[Service]:
    port = free_port()
    settings = {"STOCK_ASSETS_DATA_DIR": str(models.data_dir), "STOCK_ASSETS_SERVING_PORT": str(port)}
    command = [sys.executable, "-m", "serving"]
    environment = os.environ | settings | variables
    with (
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        service = Service(process, client)
        reader = threading.Thread(target=lambda: service.log.extend(process.stderr or ()))
        reader.start()
        try:
            _wait(lambda: _ready(service), seconds=30)
            yield service
        finally:
            process.terminate()
            process.wait(20)
            reader.join(5)


def test_both_workers_answer_and_are_summed_exactly(service: Service) -> None:
    _wait(lambda: service.sum_of("serving_model_workers") == 2)
    before = service.predictions
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.get("/predict", **QUESTION), range(400)))
    assert {answer.status_code for answer in answers} == {200}
    version = answers[0].headers["x-model-version"]
    _wait(lambda: service.predictions >= before + 400)  # a request is counted when its answer is on its way
    assert service.predictions == before + 400
    assert service.sum_of("serving_predictions_total", version=version) == before + 400
    assert service.sum_of("serving_request_seconds_count", route="/predict") == before + 400
    shares = [_of_pid(service, pid) for pid in service.workers]
    assert len(shares) == 2
    assert min(shares) > 0


def test_a_killed_worker_is_replaced_and_nothing_counted_is_lost(service: Service) -> None:
    _wait(lambda: service.sum_of("serving_model_workers") == 2)
    before = service.workers
    seen: list[float] = []
    answered: list[int] = []
    broken: list[Exception] = []
    stop = threading.Event()
    with ThreadPoolExecutor(5) as pool:
        askers = [pool.submit(_ask_until, stop, service, answered, broken) for _ in range(4)]
        watcher = pool.submit(_watch_until, stop, service, seen, broken)
        try:
            _wait(lambda: len(answered) > 100)
            os.kill(min(before), signal.SIGKILL)
            asked = len(answered)
            _wait(lambda: len(answered) > asked + 100)  # the other one goes on alone
            _wait(lambda: len(service.workers - before) == 1, seconds=15)
            _wait(lambda: service.sum_of("serving_model_workers") == 2, seconds=15)
        finally:
            stop.set()
        for task in (*askers, watcher):
            task.result()
    assert set(answered) == {200}
    # What the killed worker was answering broke off, for clients to repeat: at most one request of each of the five
    # here, since whoever connects later meets a worker that lives.
    assert len(broken) <= 5
    assert seen == sorted(seen)
    (fresh,) = service.workers - before
    _wait(lambda: _serves(service, fresh))


def test_headers_without_end_are_closed_and_counted(service: Service) -> None:
    with socket.create_connection((service.client.base_url.host, service.client.base_url.port or 80), 5) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        for _ in range(65):
            endless.sendall(b"a" * 1024)
        assert endless.recv(1000).startswith(b"HTTP/1.1 431 ")
    assert service.sum_of("serving_requests_total", status="431") == 1


def test_wrong_protection_ends_all_workers_in_one_line(tmp_path: Path) -> None:
    for name, value in {"API_KEYS": "short-secret", "RATE_LIMIT": "many", "CORS_ORIGINS": "*"}.items():
        variables = {
            "STOCK_ASSETS_DATA_DIR": str(tmp_path),
            "STOCK_ASSETS_SERVING_WORKERS": "2",
            f"STOCK_ASSETS_{name}": value,
        }
        done = subprocess.run(
            [sys.executable, "-m", "serving"],
            env=os.environ | variables, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith(f"STOCK_ASSETS_{name}")
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


def test_an_end_closes_all_workers(models: Models) -> None:
    models.promote(models.publish()[0])
    with served(models, STOCK_ASSETS_SERVING_WORKERS="2") as service:
        workers = service.workers
        assert service.get("/predict", **QUESTION).status_code == 200
    assert service.process.returncode == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    events = [json.loads(line) for line in service.log]
    assert not [event for event in events if event.get("level") in ("ERROR", "CRITICAL") or "color_message" in event]
    assert [event for event in events if event.get("path") == "/predict"]


def _ask_until(stop: threading.Event, service: Service, answered: list[int], broken: list[Exception]) -> None:
    while not stop.is_set():
        try:
            answered.append(service.get("/predict", **QUESTION).status_code)
        except httpx2.TransportError as error:
            broken.append(error)


def _watch_until(stop: threading.Event, service: Service, seen: list[float], broken: list[Exception]) -> None:
    while not stop.is_set():
        try:
            seen.append(service.predictions)
        except httpx2.TransportError as error:
            broken.append(error)


def _of_pid(service: Service, pid: int) -> float:
    """What a worker wrote in its own file: whether it answered at all."""
    (folder,) = {
        line.split("=", 1)[1]
        for line in Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0")
        if line.startswith("PROMETHEUS_MULTIPROC_DIR=")
    }
    values = MmapedDict.read_all_values_from_file(f"{folder}/counter_{pid}.db")
    return sum(value for key, value, _, _ in values if "serving_requests" in key and "/predict" in key)


def _serves(service: Service, pid: int) -> bool:
    service.get("/predict", **QUESTION)
    return _of_pid(service, pid) > 0


def _ready(service: Service) -> bool:
    assert service.process.poll() is None, service.log
    try:
        return service.get("/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


def _wait(probe: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.05)
