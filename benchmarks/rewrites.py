"""Runs the whole pipeline on other data again and again while the service is loaded: `python -m benchmarks.rewrites`.

Two workers, 16 connections, questions to everything that is read from published files. Every answer must be 200 and of
one version alone: a prediction is what LightGBM says with the version in its header, and answers of the same forecasts
are the same.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.full_size import console
from benchmarks.load import CONNECTIONS, Answer, Question, ask_until
from benchmarks.servers import ROOT, free_port, service
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.volume import predict_volume
from stock_assets.registry import MODEL_FILE, read_manifest
from stock_assets.settings import PREFIX

WORKERS = 2
SYMBOL = "AGM-A"
"""One that every generated market has."""
NAME = re.compile(rb'"name":(?:"[^"]*"|null),')
"""Names are of the table of symbols, whose newest state is shown beside forecasts that were made before it."""
ASKED = (12345.0, 25.0)


class Watch:
    """Keeps what the clients are told: each answer once, by the version in its header."""

    def __init__(self, url: str) -> None:
        self.predict = Question(f"{url}/predict?vol_moving_avg={ASKED[0]}&adj_close_rolling_med={ASKED[1]}")
        self.by_symbol = Question(f"{url}/predict/{SYMBOL}")
        self.forecasts = [
            Question(f"{url}/{path}") for path in (f"forecast/{SYMBOL}", f"explain/{SYMBOL}", "forecasts")
        ]
        others = [
            Question(f"{url}/{path}") for path in ("symbols?q=a", f"symbols/{SYMBOL}/history", "models", "metrics")
        ]
        batch = Question(
            f"{url}/predict", json.dumps({"vol_moving_avg": [1e6] * 50, "adj_close_rolling_med": [3] * 50})
        )
        self.questions = [self.predict, self.by_symbol, batch, *self.forecasts, *others]
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.told: dict[Question, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))

    def note(self, question: Question, answer: Answer, _: float) -> None:
        self.statuses[answer.status] += 1
        if answer.status != 200:
            self.failures[f"{question.url} was answered {answer.status} {answer.body[:200]!r}"] += 1
        elif question in (self.predict, self.by_symbol, *self.forecasts):
            version = answer.head.split(b"x-model-version: ", 1)[1].split(b"\r\n", 1)[0].decode()
            self.told[question][version].add(NAME.sub(b"", answer.body))

    def faults(self, data_dir: Path) -> list[str]:
        """What was amiss, with the versions on disk to compare with."""
        found = [f"{failure}, {times} times" for failure, times in self.failures.items()]
        for version, bodies in self.told[self.predict].items():
            if bodies != {b"%d" % _predicted(data_dir, version, *ASKED)}:
                found.append(f"{version} predicted {bodies}")
        for version, bodies in self.told[self.by_symbol].items():
            for answer in map(json.loads, bodies):
                inputs = answer["features"]["vol_moving_avg"], answer["features"]["adj_close_rolling_med"]
                if answer["version"] != version or answer["prediction"]["volume"] != _predicted(
                    data_dir, version, *inputs
                ):
                    found.append(f"{version} answered {answer}")
        for question in self.forecasts:
            found += [
                f"{version} gave {len(bodies)} answers to {question.url}"
                for version, bodies in self.told[question].items()
                if len(bodies) > 1
            ]
        return found


def main(runs: Annotated[int, typer.Option(min=1, help="How often everything is made anew.")] = 5) -> None:
    """Rewrite everything under load. Exit code 1 for anything amiss."""
    with tempfile.TemporaryDirectory(prefix="bench-rewrites-") as name:
        folder, port = Path(name), free_port()
        data_dir = folder / "data"
        watch = Watch(f"http://127.0.0.1:{port}")
        _run_pipeline(data_dir, 0)
        with service(data_dir, port, folder / "service.log", SERVING_WORKERS=str(WORKERS), RELOAD_SECONDS="0.2"):
            stop = threading.Event()
            clients = threading.Thread(target=_ask, args=(watch, stop))
            clients.start()
            try:
                for seed in range(1, runs + 1):
                    _run_pipeline(data_dir, seed)
            finally:
                stop.set()
                clients.join()
        faults = watch.faults(data_dir)
    versions = {what: len(watch.told[question]) for what, question in _counted(watch)}
    console.print(f"{runs} full runs, {CONNECTIONS} connections, {WORKERS} workers")
    console.print(f"{watch.statuses.total():,} answers: {dict(watch.statuses)}; versions: {versions}")
    for fault in faults[:10]:
        console.print(fault, style="red")
    if faults or min(versions.values()) < 2:
        sys.exit(1)
    console.print("no answer failed, and none was of two versions")


def _counted(watch: Watch) -> list[tuple[str, Question]]:
    return [("volume model", watch.predict), ("forecasts", watch.forecasts[0])]


def _run_pipeline(data_dir: Path, seed: int) -> None:
    settings = {"DATA_DIR": str(data_dir), "SOURCE": "demo", "DEMO_FILES": "40", "DEMO_SEED": str(seed)}
    variables = {PREFIX + name: value for name, value in settings.items()}
    command = [str(Path(sys.executable).parent / "stock-assets"), "run"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(
            f"the run of seed {seed} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )


def _ask(watch: Watch, stop: threading.Event) -> None:
    async def ask() -> None:
        await asyncio.gather(*(ask_until(stop.is_set, watch.questions, watch.note) for _ in range(CONNECTIONS)))

    asyncio.run(ask())


def _predicted(data_dir: Path, version: str, volume: float, price: float) -> int:
    folder = data_dir / "models" / "volume_model"
    booster = load_booster((folder / version / MODEL_FILE).read_bytes())
    target = read_manifest(folder, version)["target"]
    return round(float(predict_volume(booster, np.array([[volume, price]]), 1, target)[0]))


if __name__ == "__main__":
    typer.run(main)
