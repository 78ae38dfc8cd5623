"""The real daemon beside a folder: new files start one run each time, nothing else does, and a failure is told."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import Layout
from tests.conftest import price_text
from tests.helpers import (
    COMMAND,
    child_environment,
    folder_settings,
    free_port,
    processes_of,
    query,
    stock_assets_here,
    write_constant_volume,
)

pytestmark = pytest.mark.slow

SETTLE = 8
PATIENCE = 120.0
"""Seconds within which anything happens, also on a machine that is busy with something else."""


@dataclass(frozen=True)
class Daemon:
    """A daemon that watches `market`, its instance, and the messages that it sent."""

    market: Path
    layout: Layout
    instance: dg.DagsterInstance
    messages: list[str]

    @property
    def runs(self) -> dict[str, dg.DagsterRun]:
        return {run.run_id: run for run in self.instance.get_runs()}

    def reasons(self, since: float) -> list[str]:
        """Why the ticks since then started nothing."""
        states = [state for state in self.instance.all_instigator_state() if state.name == "source_changed"]
        ticks = (
            self.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since) for state in states
        )
        return [tick.skip_reason or "" for found in ticks for tick in found]

    def wait_for_reason(self, text: str, since: float) -> None:
        wait_for(lambda: any(text in reason for reason in self.reasons(since)))

    def wait_for_runs(self, before: dict[str, dg.DagsterRun]) -> list[dg.DagsterRun]:
        """The runs that were not there before, once there is one, all have ended, and the sensor wants no other one."""
        wait_for(lambda: len(self.runs) > len(before))
        wait_for(lambda: all(run.is_finished for run in self.runs.values()))
        self.wait_for_reason("no change", time.time())
        return [run for run_id, run in self.runs.items() if run_id not in before]

    def rows(self, symbol: str) -> int:
        """Rows of a symbol in `combined`, and its lines by the manifest, which must be the same."""
        lines = {file.symbol: file.rows for file in read_manifest(self.layout).files}.get(symbol, 0)
        ((rows,),) = query(self.layout.database, f"SELECT count(*) FROM combined WHERE \"Symbol\" = '{symbol}'")
        assert rows == lines
        return int(rows)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s"
        time.sleep(0.2)


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """An address, and the texts that are sent to it."""
    messages: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/S3CRET", messages
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def dev(variables: dict[str, str], data_dir: Path, log: Path) -> Iterator[None]:
    """`stock-assets dev`, from the address of the UI on; whatever is left of it in the end is killed."""
    with log.open("w") as file:
        process = subprocess.Popen(
            [COMMAND, "dev"],
            env=child_environment(variables),
            cwd=log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "Dagster UI: " in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        for pid in (process.pid, *processes_of(data_dir)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Switched on with the market published by one run on the command line."""
    root = tmp_path_factory.mktemp("daemon")
    market, data_dir = write_constant_volume(root / "market"), root / "data"
    ports = {"dagster_port": free_port(), "serving_port": free_port()}
    with webhook() as (url, messages):
        variables = folder_settings(
            data_dir, market, automation=True, poll_seconds=5, settle_seconds=SETTLE, alert_webhook=url, **ports
        )
        done = stock_assets_here("run", variables=variables)
        assert done.returncode == 0, done.stderr
        with (
            dev(variables, data_dir, root / "log"),
            dg.DagsterInstance.from_config(str(data_dir / "dagster")) as instance,
        ):
            yield Daemon(market, Layout(data_dir), instance, messages)
        kept = [root / "log", *(path for path in (data_dir / "dagster").rglob("*") if path.is_file())]
        assert [path for path in kept if b"S3CRET" in path.read_bytes()] == []


def test_it_runs_what_is_new_and_nothing_else(daemon: Daemon) -> None:
    published = daemon.runs
    os.utime(daemon.market / "stocks/A.csv")
    daemon.wait_for_reason("the source holds what is published", time.time())
    assert len(published) == len(daemon.runs) == 1

    text = price_text(80)
    (daemon.market / "stocks/WHOLE.csv").write_text(text)
    (daemon.market / "stocks/HALF.csv").write_text(text[: len(text) // 2])
    daemon.wait_for_reason("looks new", time.time())
    (daemon.market / "stocks/HALF.csv").write_text(text)
    assert len(daemon.runs) == 1

    (run,) = daemon.wait_for_runs(published)
    assert (run.job_name, run.status) == ("full_refresh", dg.DagsterRunStatus.SUCCESS)
    assert run.tags["dagster/asset_partition_range_start"] == "0"
    assert run.tags["dagster/asset_partition_range_end"] == "Z"
    assert daemon.rows("WHOLE") == daemon.rows("HALF") == 80


def test_a_source_that_cannot_be_used_is_one_failed_run_and_one_message(daemon: Daemon) -> None:
    before = daemon.runs
    (daemon.market / "symbols_valid_meta.csv").write_text("Symbol\nA\n")

    (run,) = daemon.wait_for_runs(before)
    assert run.status == dg.DagsterRunStatus.FAILURE
    wait_for(lambda: daemon.messages)
    (message,) = daemon.messages
    assert message.startswith(
        f"full_refresh failed: raw_files: {daemon.market}/symbols_valid_meta.csv lacks the column"
    )
    assert f"/runs/{run.run_id}" in message


def test_the_model_is_fresh(daemon: Daemon) -> None:
    key = dg.AssetKey("volume_model")
    wait_for(lambda: key in daemon.instance.get_freshness_state_records([key]))

    assert daemon.instance.get_freshness_state_records([key])[key].freshness_state.value == "PASS"
