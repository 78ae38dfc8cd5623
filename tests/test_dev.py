"""`stock-assets dev` as a process: both servers, started and stopped together, and what one does in the UI."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stock_assets import registry
from stock_assets.defs.partitions import ALL_LETTERS
from stock_assets.dev import STOP_SECONDS
from stock_assets.layout import Layout
from tests.helpers import (
    COMMAND,
    child_environment,
    demo_settings,
    free_port,
    letter_files,
    processes_of,
    stock_assets,
    table_hash,
)

pytestmark = pytest.mark.slow

START = f"exec '{COMMAND}' dev"
NOHUP = "trap '' INT; "
"""What a shell does for `nohup` and for a background job of a script: its child starts with SIGINT ignored."""

QUESTION = {"vol_moving_avg": 12345, "adj_close_rolling_med": 25}


@dataclass(frozen=True)
class Dev:
    process: "subprocess.Popen[str]"
    data_dir: Path
    ui: str
    service: str

    def graphql(self, document: str, **variables: Any) -> Any:
        body = {"query": document, "variables": variables}
        answer = httpx2.post(f"{self.ui}/graphql", json=body, timeout=60).raise_for_status().json()
        assert "errors" not in answer, answer
        (result,) = answer["data"].values()
        return result


@contextmanager
def dev(folder: Path, settings: dict[str, str] | None = None, *, ignoring_interrupts: bool = False) -> Iterator[Dev]:
    """Both servers, from the printed addresses on; whatever is left of them in the end is killed."""
    data_dir, ports = folder / "data", {"dagster_port": free_port(), "serving_port": free_port()}
    variables = demo_settings(data_dir, **ports) | (settings or {})
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["sh", "-c", NOHUP + START if ignoring_interrupts else START],
            env=child_environment(variables),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        ui, service = _addresses(process)
        yield Dev(process, data_dir, ui, service)
    finally:
        for pid in (process.pid, *processes_of(data_dir)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def _addresses(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stdout is not None
    found: dict[str, str] = {}
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := re.fullmatch(r"(Dagster UI|predictions): (http://127\.0\.0\.1:\d+)\n", line):
            found[match[1]] = match[2]
        if len(found) == 2:
            return found["Dagster UI"], found["predictions"]
    raise AssertionError("ended without both addresses:\n" + "".join(seen))


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)
    return value


def is_free(url: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(url.rsplit(":", 1)[1])))
        except OSError:
            return False
    return True


@pytest.mark.parametrize(
    ("sent", "ignoring"),
    [(signal.SIGINT, False), (signal.SIGHUP, False), (signal.SIGTERM, True), (signal.SIGINT, True)],
    ids=["SIGINT", "SIGHUP", "SIGTERM after nohup", "SIGINT after nohup"],
)
def test_it_serves_and_stops_both(tmp_path: Path, sent: signal.Signals, ignoring: bool) -> None:
    with dev(tmp_path, ignoring_interrupts=ignoring) as running:
        assert "dagster_version" in httpx2.get(f"{running.ui}/server_info").json()
        assert httpx2.get(f"{running.service}/health/live").json() == {"status": "live"}
        assert len(processes_of(running.data_dir)) > 2
        running.process.send_signal(sent)
        assert running.process.wait(STOP_SECONDS + 10) == 0
        assert processes_of(running.data_dir) == {}
        assert is_free(running.ui)
        assert is_free(running.service)


@pytest.mark.parametrize("name", ["dagster_port", "serving_port"])
def test_a_port_in_use_is_one_line(tmp_path: Path, name: str) -> None:
    ports = {"dagster_port": free_port(), "serving_port": free_port()}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports[name] = taken.getsockname()[1]
        process = stock_assets("dev", variables=demo_settings(tmp_path / "data", **ports), cwd=tmp_path, timeout=60)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"stock-assets: cannot listen on 127.0.0.1 port {ports[name]}: Address already in use")
    assert processes_of(tmp_path / "data") == {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dev(tmp_path_factory.mktemp("dev")) as running:
        yield running


RUN_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LAUNCH_RUN = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
LAUNCH_BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
BACKFILL_STATUS = """
query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
BACKFILL_RUNS = """
query ($id: String!) {
  runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
    ... on Runs { results { status tags { key value } } }
  }
}"""


def launch_full_refresh(running: Dev) -> str:
    params = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "stock_assets",
            "jobName": "full_refresh",
        },
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in ALL_LETTERS.items()]},
    }
    launched = running.graphql(LAUNCH_RUN, params=params)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def launch_backfill(running: Dev, letters: str) -> str:
    params = {"assetSelection": [{"path": ["features"]}], "partitionNames": list(letters)}
    launched = running.graphql(LAUNCH_BACKFILL, params=params)
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def ended(running: Dev, document: str, launched: str) -> str | None:
    """The status of a run or a backfill once it has ended."""
    status = running.graphql(document, id=launched)["status"]
    over = {"SUCCESS", "FAILURE", "CANCELED", "COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED"}
    return status if status in over else None


def test_a_run_of_the_ui_reaches_the_service(running: Dev) -> None:
    assert httpx2.get(f"{running.service}/predict", params=QUESTION).status_code == 503
    run = launch_full_refresh(running)
    assert wait_for(lambda: ended(running, RUN_STATUS, run), 150) == "SUCCESS"
    models = running.data_dir / "models" / "volume_model"
    pointer = registry.read_pointer(models)
    assert pointer is not None
    assert pointer.run_id == run

    def answer() -> httpx2.Response | None:
        response = httpx2.get(f"{running.service}/predict", params=QUESTION)
        return response if response.headers.get("x-model-version") == pointer.version else None

    predicted = wait_for(answer, 5).json()
    outputs = registry.read_manifest(models, pointer.version)["self_test"]["outputs"]
    assert predicted == round(outputs[0])


def test_a_backfill_of_the_ui_is_one_run_of_these_letters(running: Dev) -> None:
    if not (running.data_dir / "market.duckdb").exists():
        run_first = launch_full_refresh(running)
        assert wait_for(lambda: ended(running, RUN_STATUS, run_first), 150) == "SUCCESS"
    before, combined = letter_files(running.data_dir, "features"), table_hash(running.data_dir / "market.duckdb")
    for letter in ("C", "D"):  # F is up to date, and E has no rows
        Layout(running.data_dir).parquet("features", letter).unlink()
    backfill = launch_backfill(running, "CDEF")
    assert wait_for(lambda: ended(running, BACKFILL_STATUS, backfill), 200) in {"COMPLETED", "COMPLETED_SUCCESS"}
    (run,) = running.graphql(BACKFILL_RUNS, id=backfill)["results"]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert run["status"] == "SUCCESS"
    assert tags["dagster/asset_partition_range_start"] == "C"
    assert tags["dagster/asset_partition_range_end"] == "F"
    after = letter_files(running.data_dir, "features")
    assert {letter for letter in after if after[letter] != before[letter]} == {"C", "D"}
    assert {letter: file[0] for letter, file in after.items()} == {letter: file[0] for letter, file in before.items()}
    assert table_hash(running.data_dir / "market.duckdb") == combined
