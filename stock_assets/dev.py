"""`stock-assets dev`: the Dagster UI with its daemon and the prediction service, started and stopped together."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from stock_assets.defs.running import open_instance
from stock_assets.errors import UserError
from stock_assets.ports import port_problem
from stock_assets.settings import Settings

WORKSPACE = Path(__file__).parent.parent / "workspace.yaml"
STOP_SECONDS = 20
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_all(settings: Settings) -> int:
    """Run both servers until Ctrl-C, SIGTERM or a hang-up, or until one ends by itself; both are stopped then.

    Gives 0 after a stop from outside, 1 where a server ended by itself. Raises `UserError` where a port is taken.
    """
    for port in (settings.dagster_port, settings.serving_port):
        if problem := port_problem(settings.host, port):
            raise UserError(problem)
    open_instance(settings).dispose()
    # A handler of our own also for SIGINT, so that the servers do not inherit an ignored one from a script.
    for number in STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means what it says
            signal.signal(number, signal.default_int_handler)
    servers: list[subprocess.Popen[bytes]] = []
    try:
        servers.extend(_start(command) for command in _commands(settings))
        _announce(settings, servers)
        while all(server.poll() is None for server in servers):
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("stopping", flush=True)
        return 0
    finally:
        _stop(servers)
    return 1


def _commands(settings: Settings) -> list[list[str]]:
    dagster = ["dagster", "dev", "-w", str(WORKSPACE), "-h", settings.host, "-p", str(settings.dagster_port)]
    return [[sys.executable, "-m", *dagster], [sys.executable, "-m", "serving"]]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=os.environ | {"PYTHONWARNINGS": "ignore"}, start_new_session=True)


def _announce(settings: Settings, servers: list[subprocess.Popen[bytes]]) -> None:
    """Print each address once it answers, unless a server ends first."""
    places = {
        "Dagster UI": (f"http://{settings.host}:{settings.dagster_port}", "/server_info"),
        "predictions": (f"http://{settings.host}:{settings.serving_port}", "/health/live"),
    }
    for name, (address, path) in places.items():
        while not _answers(address + path):
            if any(server.poll() is not None for server in servers):
                return
            time.sleep(0.2)
        print(f"{name}: {address}", flush=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(servers: list[subprocess.Popen[bytes]]) -> None:
    """Ask each server to end, as Ctrl-C would, and wait until its whole process group is gone.

    The servers alone are asked: Dagster ends its own processes in order. What is left after a while is killed.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    for server in servers:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for server in servers:
        while _group_is_alive(server) and time.monotonic() < deadline:
            time.sleep(0.1)
        if _group_is_alive(server):
            os.killpg(server.pid, signal.SIGKILL)


def _group_is_alive(server: subprocess.Popen[bytes]) -> bool:
    server.poll()  # else it would stay as a zombie, which counts as alive
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True
