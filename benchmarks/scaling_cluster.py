"""A Dask cluster on this machine whose workers have one core each; what they use is read from `/proc` (Linux only)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30


@dataclass
class Worker:
    """A worker process and the folder of its temporary files."""

    pid: int
    folder: Path
    begun: float = 0

    def begin(self) -> None:
        """Measure from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak of the memory begins anew
        self.begun = self._cpu()

    def cpu(self) -> float:
        """CPU seconds since `begin`."""
        return self._cpu() - self.begun

    def peak(self) -> int:
        """The most memory since `begin`, in bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def _cpu(self) -> float:
        """User and system time: the 14th and 15th field; the second one, a name in brackets, may have spaces."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def cluster(workers: int, folder: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, list[Worker]]]:
    """A scheduler's address and its workers, one thread each and each on a core of its own; all end with the block.

    `folder` is for their files and logs. Raises `TimeoutError` where they do not start.
    """
    place = folder / "scheduler.json"
    with ExitStack() as stack:
        arguments = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)]
        stack.enter_context(_process("scheduler", arguments, folder / "scheduler.log", {}))
        _wait_for(place)
        started = []
        for core in sorted(os.sched_getaffinity(0))[:workers]:
            files = folder / f"worker-{core}"
            arguments = ["--scheduler-file", str(place), "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny"]
            arguments += ["--no-dashboard", "--local-directory", str(files), "--pid-file", str(files) + ".pid"]
            arguments += ["--death-timeout", str(START_SECONDS)]  # should this process be killed
            process = stack.enter_context(_process("worker", arguments, Path(f"{files}.log"), settings))
            os.sched_setaffinity(process.pid, {core})  # before its threads start, which inherit it
            _wait_for(Path(str(files) + ".pid"))
            started.append(Worker(process.pid, files))
        yield _address(place), started


@contextmanager
def _process(
    command: str, arguments: list[str], log: Path, settings: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        full = [sys.executable, "-m", "dask", command, *arguments]
        process = subprocess.Popen(full, env=os.environ | settings, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(file: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not (file.exists() and file.read_text().strip()):
        if time.monotonic() > end:
            raise TimeoutError(f"{file} did not come within {START_SECONDS} s: see the logs beside it")
        time.sleep(0.1)


def _address(place: Path) -> str:
    return str(json.loads(place.read_text())["address"])
