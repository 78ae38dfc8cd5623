"""Models for the benchmarks of the service, and servers as processes of their own."""

import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stock_assets.learning.volume import INPUTS, predict_volume
from stock_assets.registry import MODEL_FILE, promote, publish_version
from stock_assets.settings import PREFIX

if TYPE_CHECKING:
    from lightgbm import Booster, LGBMRegressor

ROOT = Path(__file__).parent.parent


def train(trees: int = 100, level: float = 1.0) -> "LGBMRegressor":
    """A model of volume from both inputs, with the leaves of the published sample, on made-up rows around `level`."""
    import lightgbm  # noqa: PLC0415 - seconds, which the sample's own users pay too

    draw = np.random.default_rng(0)
    inputs = np.column_stack([np.exp(draw.normal(12, 2, 20_000)), np.exp(draw.normal(3, 1, 20_000))])
    volume = level * inputs[:, 0] * np.exp(draw.normal(0, 0.5, 20_000))
    model = lightgbm.LGBMRegressor(n_estimators=trees, num_leaves=50, n_jobs=1, verbose=-1)
    return model.fit(inputs, volume)


def publish(data_dir: Path, booster: "Booster") -> str:
    """A version of `volume_model` for the service; gives its name."""
    asked = np.array([[12345.0, 25.0], [1e6, 3.0]])
    test = {"inputs": asked.tolist(), "outputs": predict_volume(booster, asked, 1, "volume").tolist()}
    facts = {"inputs": list(INPUTS), "target": "volume", "self_test": test}

    def write(place: Path) -> dict[str, Any]:
        (place / MODEL_FILE).write_text(booster.model_to_string())
        return facts

    return publish_version(data_dir / "models" / "volume_model", write)[0]


def promote_version(data_dir: Path, version: str) -> None:
    promote(data_dir / "models" / "volume_model", version, "volume_model", "benchmark")


def write_pickle(model: "LGBMRegressor", path: Path) -> None:
    """The model as the published sample's service reads it."""
    path.write_bytes(pickle.dumps(model))


@contextmanager
def server(
    command: Sequence[str], ready: str, log: Path, variables: Mapping[str, str], seconds: float = 60
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers 200 at the address `ready` before the block begins, and is stopped after it.

    Raises `TimeoutError` with the end of its log where it does not.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=kept | dict(variables), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + seconds
        while not answers(ready):
            if time.monotonic() > deadline or process.poll() is not None:
                raise TimeoutError(f"{command[0]} does not answer; {log.name} ends with: {_last_line(log)}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]


def service(data_dir: Path, port: int, log: Path, **settings: str) -> Any:
    """Our own, on a data folder with a promoted version."""
    variables = {"DATA_DIR": str(data_dir), "SERVING_PORT": str(port), **settings}
    named = {PREFIX + name: value for name, value in variables.items()}
    return server([sys.executable, "-m", "serving"], f"http://127.0.0.1:{port}/health/ready", log, named)


def uvicorn(app: str, port: int, log: Path, variables: Mapping[str, str]) -> Any:
    """An application under uvicorn as ours runs: one process, uvloop and httptools, no access log."""
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning", "--no-server-header"]
    return server([sys.executable, "-m", "uvicorn", app, *options], f"http://127.0.0.1:{port}/ready", log, variables)


def answers(url: str) -> bool:
    """Whether an address gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
