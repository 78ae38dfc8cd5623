"""Dask clusters of real processes, here or in network namespaces: a scheduler, and workers that can be killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client

from tests.helpers import child_environment

DASK = str(Path(sys.executable).with_name("dask"))
PATIENCE = 60.0
"""Seconds within which a process is up, also on a busy machine."""


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s"
        time.sleep(0.1)
    return found


@dataclass
class Cluster:
    """The scheduler, at `address`, and the workers that were started, those that were killed included."""

    address: str
    folder: Path
    scheduler: "subprocess.Popen[bytes]"
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start_worker(self, host: str = "127.0.0.1", within: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
        """A worker and its nanny; `within` is what runs their command elsewhere."""
        name = f"worker-{len(self.workers)}"
        options = ("--host", host, "--nthreads", "1", "--no-dashboard", "--name", name)
        places = ("--memory-limit", "1500MB", "--local-directory", str(self.folder / name), "--death-timeout", "120")
        command = [*within, DASK, "worker", self.address, *options, *places]
        self.workers.append(_start(command, self.folder / f"{name}.log"))
        wait_for(lambda: "Registered to" in (self.folder / f"{name}.log").read_text(encoding="utf-8"))
        return self.workers[-1]

    def kill_worker(self, place: int = 0) -> None:
        """With its nanny, so that nobody starts it again."""
        os.killpg(self.workers[place].pid, signal.SIGKILL)
        self.workers[place].wait()

    def crash_worker(self, place: int = 0) -> None:
        """Without its nanny, which starts another."""
        tasks = Path(f"/proc/{self.workers[place].pid}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text(encoding="ascii").split()]
        assert children
        for child in children:
            os.kill(int(child), signal.SIGKILL)


@contextmanager
def once_it_trains(address: str, happens: Callable[[], None], seconds: float = 0.3) -> Iterator[list[float]]:
    """Something happens so long after LightGBM has begun on the cluster; when that was."""
    happened: list[float] = []

    def wait_for_it() -> None:
        with Client(address, set_as_default=False) as client:
            wait_for(lambda: any("_train_part" in key for keys in client.processing().values() for key in keys))
        time.sleep(seconds)
        happens()
        happened.append(time.monotonic())

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    try:
        yield happened
    finally:
        thread.join()


def _start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            env=child_environment({"OMP_WAIT_POLICY": "PASSIVE"}),
            cwd=log.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, host: str = "127.0.0.1", within: Sequence[str] = ()
) -> Iterator[Cluster]:
    """A scheduler on a free port with so many workers; none of them is left in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "scheduler.json"
    options = ("--host", host, "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", str(place))
    scheduler = _start([*within, DASK, "scheduler", *options], folder / "scheduler.log")
    cluster = Cluster("", folder, scheduler)
    try:
        wait_for(lambda: place.exists() and place.stat().st_size)
        cluster.address = json.loads(place.read_text(encoding="utf-8"))["address"]
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        for process in (*cluster.workers, scheduler):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
