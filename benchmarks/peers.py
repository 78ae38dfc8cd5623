"""Other model servers, each in an environment of its own that is made for one run and removed after it."""

import json
import subprocess
import venv
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Question
from benchmarks.servers import free_port, server

INPUTS = [[12345.0, 25.0]]

MLFLOW_MODEL = """
import sys, lightgbm, mlflow
mlflow.lightgbm.save_model(lightgbm.Booster(model_file=sys.argv[1]), sys.argv[2])
"""
BENTO = """
import os, bentoml, lightgbm
@bentoml.service
class Volume:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["MODEL_TEXT"])
    @bentoml.api
    def predict(self, vol_moving_avg: float, adj_close_rolling_med: float) -> int:
        return round(self.booster.predict([[vol_moving_avg, adj_close_rolling_med]], num_threads=1)[0])
"""
V2_INPUT = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": INPUTS[0]}

Start = Callable[[Path, Path, Path, ExitStack], tuple[Question, "subprocess.Popen[bytes]"]]
"""Given its python, its folder and the model's text, a server that runs as long as the stack, and what it is asked."""


class Peer(NamedTuple):
    """A server, and what pip installs for it."""

    name: str
    packages: Sequence[str]
    start: Start


def peers() -> list[Peer]:
    return [
        Peer("MLflow", ["mlflow==3.17.*", "lightgbm"], _mlflow),
        Peer("BentoML", ["bentoml==1.4.*", "lightgbm"], _bentoml),
        Peer("MLServer", ["mlserver==1.7.*", "mlserver-lightgbm==1.7.*"], _mlserver),
    ]


def install(peer: Peer, folder: Path) -> Path:
    """The python of a new environment with the peer. Raises `RuntimeError` with pip's last words where it cannot be."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
    _run(*map(str, command))
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "it failed without a word").splitlines()[-1])


def _mlflow(python: Path, folder: Path, text: Path, running: ExitStack) -> tuple[Question, "subprocess.Popen[bytes]"]:
    _run(str(python), "-c", MLFLOW_MODEL, str(text), str(folder / "model"))
    port = str(free_port())
    options = ["-m", str(folder / "model"), "--env-manager", "local", "--host", "127.0.0.1", "--port", port]
    return _serve(
        running,
        [str(python.with_name("mlflow")), "models", "serve", *options],
        folder,
        {},
        (f"http://127.0.0.1:{port}/ping", f"http://127.0.0.1:{port}/invocations", {"inputs": INPUTS}),
    )


def _bentoml(python: Path, folder: Path, text: Path, running: ExitStack) -> tuple[Question, "subprocess.Popen[bytes]"]:
    (folder / "service.py").write_text(BENTO)
    port = str(free_port())
    options = ["service:Volume", "--working-dir", str(folder), "--host", "127.0.0.1", "--port", port]
    body = dict(zip(("vol_moving_avg", "adj_close_rolling_med"), INPUTS[0], strict=True))
    return _serve(
        running,
        [str(python.with_name("bentoml")), "serve", *options],
        folder,
        {"MODEL_TEXT": str(text)},
        (f"http://127.0.0.1:{port}/readyz", f"http://127.0.0.1:{port}/predict", body),
    )


def _mlserver(python: Path, folder: Path, text: Path, running: ExitStack) -> tuple[Question, "subprocess.Popen[bytes]"]:
    port = free_port()
    ports = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    # One process, as the others; 1.7's own worker processes do not start under uvloop of today.
    (folder / "settings.json").write_text(json.dumps(ports | {"parallel_workers": 0}))
    model = {"name": "m", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": str(text)}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    url = f"http://127.0.0.1:{port}/v2/models/m"
    command = [str(python.with_name("mlserver")), "start", str(folder)]
    return _serve(running, command, folder, {}, (f"{url}/ready", f"{url}/infer", {"inputs": [V2_INPUT]}))


def _serve(
    running: ExitStack, command: list[str], folder: Path, variables: dict[str, str], asked: tuple[str, str, object]
) -> tuple[Question, "subprocess.Popen[bytes]"]:
    """Start a peer and wait until it is ready. `asked` has the address of its probe, its endpoint, and the body."""
    ready, url, body = asked
    path = {"PATH": f"{Path(command[0]).parent}:/usr/bin:/bin"}  # they start their own commands by name
    process = running.enter_context(server(command, ready, folder / "server.log", variables | path, seconds=120))
    return Question(url, json.dumps(body)), process
