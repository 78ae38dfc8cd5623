"""Promotes versions of the model while the service is under load: `python -m benchmarks.promotions`.

Two workers, 16 connections. Every answer must be 200 and the very number that LightGBM predicts with the version in its
header; a version that was damaged must never answer; a worker that is killed must come back.
"""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import lightgbm
import numpy as np
import typer

from benchmarks.full_size import console
from benchmarks.load import CONNECTIONS, Answer, Question, ask_until, family
from benchmarks.servers import free_port, promote_version, publish, service, train

WORKERS = 2
COME_BACK_SECONDS = 30
ASKED = [(12345.0, 25.0), (1e6, 3.0), (0.0, 10.0), (250.5, 99.25), (3e8, 410.0)]


class Watch:
    """Counts what the clients are told. `versions` has for each version the answers that it must give."""

    def __init__(self, url: str) -> None:
        self.questions = [
            Question(f"{url}/predict?vol_moving_avg={volume}&adj_close_rolling_med={price}") for volume, price in ASKED
        ]
        self.versions: dict[str, dict[Question, bytes]] = {}
        self.statuses: Counter[int] = Counter()
        self.by_version: Counter[str] = Counter()
        self.wrong: list[str] = []

    def expect(self, version: str, booster: "lightgbm.Booster") -> None:
        volumes = np.maximum(booster.predict(np.array(ASKED), num_threads=1), 0)
        self.versions[version] = {
            question: b"%d" % round(volume) for question, volume in zip(self.questions, volumes.tolist(), strict=True)
        }

    def note(self, question: Question, answer: Answer, _: float) -> None:
        self.statuses[answer.status] += 1
        if answer.status != 200:
            return
        version = answer.head.split(b"x-model-version: ", 1)[1].split(b"\r\n", 1)[0].decode()
        self.by_version[version] += 1
        if self.versions.get(version, {}).get(question) != answer.body:
            self.wrong.append(f"{question.url} was answered {answer.body!r} by {version}")


def main(
    promotions: Annotated[int, typer.Option(min=1, help="How many versions follow the first one.")] = 20,
    seconds: Annotated[float, typer.Option(min=5, help="How long at least, all promotions together.")] = 60,
) -> None:
    """Promote under load, a damaged version in the middle, then kill a worker. Exit code 1 for anything amiss."""
    with tempfile.TemporaryDirectory(prefix="bench-promotions-") as name:
        folder, port = Path(name), free_port()
        watch = Watch(f"http://127.0.0.1:{port}")
        names = [_publish(folder, watch, level) for level in range(1, promotions + 2)]
        damaged = _publish_damaged(folder)
        promote_version(folder, names[0])
        settings = {"SERVING_WORKERS": str(WORKERS), "RELOAD_SECONDS": "0.2"}
        with service(folder, port, folder / "service.log", **settings) as process:
            stop = threading.Event()
            clients = threading.Thread(target=_ask, args=(watch, stop))
            clients.start()
            try:
                faults = promote_all(folder, watch, (names, damaged), seconds)
                quiet = Counter(watch.statuses)
                faults += kill_a_worker(watch, process.pid)
            finally:
                stop.set()
                clients.join()
        console.print(f"{promotions} promotions in {seconds:g} s, {CONNECTIONS} connections, {WORKERS} workers")
        console.print(f"{quiet.total():,} answers: {dict(quiet)}; by {len(watch.by_version)} versions")
    faults += watch.wrong[:5]
    faults += [f"{count} answers {status}" for status, count in watch.statuses.items() if status != 200]
    for fault in faults:
        console.print(fault, style="red")
    if faults:
        sys.exit(1)
    console.print("each answer is what its version predicts; the damaged version never answered; the worker came back")


def promote_all(folder: Path, watch: Watch, versions: tuple[list[str], str], seconds: float) -> list[str]:
    """One version after the other, each until it answers, the damaged one in the middle; gives what was amiss."""
    (_, *names), damaged = versions
    pause, faults, waits = seconds / (len(names) + 1), [], []
    for place, version in enumerate(names):
        if place == len(names) // 2:
            promote_version(folder, damaged)
            time.sleep(pause)
        promoted = time.monotonic()
        promote_version(folder, version)
        while version not in watch.by_version and time.monotonic() - promoted < COME_BACK_SECONDS:
            time.sleep(0.01)
        waits.append(time.monotonic() - promoted)
        if version not in watch.by_version:
            faults.append(f"{version} did not answer within {COME_BACK_SECONDS} s of its promotion")
        time.sleep(max(0, pause - waits[-1]))
    console.print(f"from a promotion to the first answer: {statistics.median(waits):.1f} s, at most {max(waits):.1f} s")
    return faults


def kill_a_worker(watch: Watch, pid: int) -> list[str]:
    """Kill one of the workers; gives what was amiss. Requests on its connections break, and their clients ask again."""
    before = _workers(pid)
    if not before:
        return ["the workers cannot be told apart here: there is no /proc"]
    os.kill(before[0], signal.SIGKILL)
    killed = time.monotonic()
    while time.monotonic() - killed < COME_BACK_SECONDS:
        time.sleep(0.2)
        now = _workers(pid)
        if len(now) == len(before) and before[0] not in now and _answers(watch):
            console.print(f"a worker was killed; its successor was there after {time.monotonic() - killed:.1f} s")
            return []
    return [f"no worker took the place of the killed one within {COME_BACK_SECONDS} s"]


def _workers(pid: int) -> list[int]:
    """The processes that serve, below the one that was started."""
    command = b"multiprocessing.spawn"
    return [one for one in family(pid)[1:] if command in Path(f"/proc/{one}/cmdline").read_bytes()]


def _answers(watch: Watch) -> bool:
    before = watch.statuses[200]
    time.sleep(0.5)
    return watch.statuses[200] > before


def _ask(watch: Watch, stop: threading.Event) -> None:
    async def ask() -> None:
        clients = (ask_until(stop.is_set, watch.questions, watch.note) for _ in range(CONNECTIONS))
        broken = sum(await asyncio.gather(*clients))
        console.print(f"{broken} connections broke, of the killed worker's, and were made anew")

    asyncio.run(ask())


def _publish(folder: Path, watch: Watch, level: float) -> str:
    booster = train(trees=10, level=level).booster_
    version = publish(folder, booster)
    watch.expect(version, booster)
    return version


def _publish_damaged(folder: Path) -> str:
    """A version whose text was changed after it was published."""
    version = publish(folder, train(trees=10, level=99).booster_)
    with (folder / "models" / "volume_model" / version / "model.txt").open("a") as file:
        file.write("\n")
    return version


if __name__ == "__main__":
    typer.run(main)
